"""`serinus models quantize` on a registry in memory."""

import json

import numpy as np
import pytest

from serinus_api.v1 import predict_pb2
from serinus_api.v1 import registry_pb2 as pb

FLOAT = pb.RecipeResult(recipe="float", size_bytes=2048, batch_1_s=0.001, best_batch=8, best_batch_s=0.004)
FAST = pb.RecipeResult(
    recipe="dynamic", size_bytes=1024, batch_1_s=0.0005, best_batch=16, best_batch_s=0.004, argmax_agreement=0.995,
    min_cosine=0.9991, max_absolute_difference=0.01, accepted=True,
)  # fmt: skip
SLOW = pb.RecipeResult(recipe="static", size_bytes=900, batch_1_s=0.002, best_batch=4, best_batch_s=0.01, reason="slow")
BROKEN = pb.RecipeResult(recipe="fp16", reason="it crashed")


@pytest.fixture
def quantized(registry):
    """A server whose quantization ends with a report."""
    takes = predict_pb2.TensorInfo(name="x", dtype=predict_pb2.DATA_TYPE_FP32, shape=[-1, 2], batch_axis=0)
    registry.add("m", "1.0.0", inputs=[takes])
    report = pb.QuantizationReport(
        results=[FLOAT, FAST, SLOW, BROKEN],
        winner="dynamic",
        sentence="dynamic is 2.00 times as fast",
        version=pb.ModelVersion(model="m", version="1.0.1"),
    )
    registry.steps = [
        pb.QuantizeModelResponse(stage="measuring float", done=1, total=4, result=FLOAT),
        pb.QuantizeModelResponse(stage="done", done=4, total=4, report=report),
    ]
    return registry


@pytest.mark.usefixtures("quantized")
def test_the_recipes_are_a_table_and_the_verdict_a_sentence(tell):
    """Reasons stand below: sentences leave no room for numbers."""
    ended = tell("models", "quantize", "m")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert [line.split() for line in lines[1:5]] == [
        ["float", "2.00", "KiB", "1.00", "ms", "8", "2.00k", "-", "-", "-", "as", "it", "is"],
        ["dynamic", "1.00", "KiB", "500", "µs", "16", "4.00k", "99.50%", "0.9991", "0.01", "the", "best"],
        ["static", "900", "B", "2.00", "ms", "4", "400", "0.00%", "0.0000", "0", "refused"],
        ["fp16", "-", "-", "-", "-", "-", "-", "-", "no", "model"],
    ]
    assert lines[5:] == [
        "static: slow", "fp16: it crashed", "dynamic is 2.00 times as fast", "registered as m@1.0.1",
    ]  # fmt: skip


@pytest.mark.usefixtures("quantized")
def test_the_report_in_json(tell):
    """Whole."""
    found = json.loads(tell("models", "quantize", "m@1.0.0", "--json").out)
    assert (found["winner"], found["registered"]["version"]) == ("dynamic", "1.0.1")
    assert [result["rows_per_s"] for result in found["results"]] == [2000.0, 4000.0, 400.0, None]


def test_what_was_asked_for_travels(tell, quantized, tmp_path):
    """Arrays, recipes, and only the bounds that were given."""
    rows = np.ones((3, 2), np.float32)
    np.savez(tmp_path / "data.npz", x=rows)
    flags = ("--recipes", "dynamic,fp16", "--min-argmax-agreement", "0.9", "--dry-run", "--actor", "ann")
    assert tell("models", "quantize", "m", "--calibration", tmp_path / "data.npz", *flags).code == 0
    (request,) = quantized.asked_for(pb.QuantizeModelRequest)
    assert request.calibration[0].data == rows.tobytes()
    assert list(request.recipes) == ["dynamic", "fp16"]
    assert request.bounds == pb.QuantizationBounds(min_argmax_agreement=0.9)
    assert (request.dry_run, request.actor, request.traffic_timeout_s) == (True, "ann", 0.0)


def test_data_that_cannot_be_read_is_a_usage_error(tell, tmp_path):
    """Python objects above all, which are never read."""
    np.save(tmp_path / "one.npy", np.zeros(2))
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("text")
    for name in ("gone.npz", "one.npy", "objects.npz", "text.npz"):
        ended = tell("models", "quantize", "m", "--calibration", tmp_path / name)
        assert (ended.code, ended.err.startswith("error: --calibration: ")) == (2, True), name
    both = ("--calibration", tmp_path / "objects.npz", "--traffic-rows", "5")
    assert tell("models", "quantize", "m", *both).code == 2


def test_a_quantization_without_a_report_has_failed(tell, quantized):
    """However the stream ended."""
    del quantized.steps[1:]
    ended = tell("models", "quantize", "m")
    assert (ended.code, ended.err) == (1, "error: the server ended the quantization without a report\n")
