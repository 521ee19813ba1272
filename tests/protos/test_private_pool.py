import subprocess
import sys
from importlib.util import find_spec

import pytest

# A fresh interpreter for each: the order of imports is the case, and a process has one default pool.
ROUND_TRIP = """
ours = ModelInferRequest(
    model_name="m",
    id="7",
    parameters={"priority": InferParameter(uint64_param=1), "tag": InferParameter(string_param="a")},
    inputs=[ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, -1])],
    raw_input_contents=[bytes(range(8))],
)
sent = ours.SerializeToString(deterministic=True)
theirs = service_pb2.ModelInferRequest.FromString(sent)
assert theirs.parameters["priority"].uint64_param == 1
assert list(theirs.inputs[0].shape) == [1, -1]
assert list(theirs.raw_input_contents) == [bytes(range(8))]
back = theirs.SerializeToString(deterministic=True)
assert back == sent
assert ModelInferRequest.FromString(back) == ours
print("same")
"""
THEIRS = "from tritonclient.grpc import service_pb2"
OURS = "from open_inference.grpc_service_pb2 import InferParameter, ModelInferRequest"

needs_tritonclient = pytest.mark.skipif(find_spec("tritonclient") is None, reason="tritonclient needs protobuf below 7")


def run(*lines: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@needs_tritonclient
@pytest.mark.parametrize("imports", [(THEIRS, OURS), (OURS, THEIRS)], ids=["theirs first", "ours first"])
def test_tritonclient_lives_in_the_same_process(imports: tuple[str, str]) -> None:
    """Whoever is imported first, both work, and a request passes from ours to theirs and back unchanged."""
    assert run(*imports, ROUND_TRIP) == "same\n"


def test_the_default_pool_stays_free_of_the_protocol() -> None:
    """Importing ours registers no `inference.*` name where others look."""
    code = """
from google.protobuf import descriptor_pool
from open_inference.pool import POOL
print(POOL.FindMessageTypeByName("inference.ModelInferRequest").full_name)
try:
    descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
except KeyError:
    print("free")
"""
    assert run(OURS, code) == "inference.ModelInferRequest\nfree\n"
