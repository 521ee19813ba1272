"""The SDK stands on grpcio, protobuf and numpy alone."""

import importlib.metadata
import re
import subprocess
import sys

BASE = ["grpcio", "numpy", "protobuf"]

# Refuses every import from outside the standard library but what is named on its command line.
HOOK = """
import sys

allowed = set(sys.argv[1].split(","))

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = ".".join(name.split(".")[:2]) if name.startswith("google.") else name.split(".")[0]
        if top in sys.stdlib_module_names or top in allowed:
            return None
        raise ModuleNotFoundError(f"refused: {name}", name=name)

sys.meta_path.insert(0, Refuse())
import serinus_client
for name in serinus_client.__all__:
    getattr(serinus_client, name)
for module in ("serinus", "onnxruntime", "ml_dtypes", "google.rpc", "pydantic"):
    try:
        __import__(module)
    except ModuleNotFoundError as error:
        assert str(error).startswith("refused"), error
    else:
        raise AssertionError(module)
print("imported")
"""


def names(requirements):
    return sorted(re.match(r"[\w.-]+", line)[0].lower() for line in requirements if "extra ==" not in line)


def test_nothing_else_is_imported():
    """An import hook refuses the rest; grpcio's own dependency may pass."""
    allowed = ["grpc", "numpy", "google", "google.protobuf", "google._upb", "serinus_client", "serinus_api"]
    allowed += [name.replace("-", "_") for name in names(importlib.metadata.requires("grpcio") or [])]
    command = [sys.executable, "-c", HOOK, ",".join(allowed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "imported\n", "")


def test_the_distribution_requires_nothing_else():
    """Without extras, that is."""
    assert names(importlib.metadata.requires("serinus") or []) == BASE
