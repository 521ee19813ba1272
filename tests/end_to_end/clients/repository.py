"""A model repository in Triton's layout, as an operator who comes from Triton has one."""

from pathlib import Path

from serinus.core.dtypes import DType
from tests.support import models

TABULAR = """
name: "tabular"
platform: "onnxruntime_onnx"
max_batch_size: 64
input [ { name: "x" data_type: TYPE_FP32 dims: [ 8 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
dynamic_batching {
  preferred_batch_size: [ 8, 32 ]
  max_queue_delay_microseconds: 100
  priority_levels: 3
  default_priority_level: 2
  default_queue_policy { max_queue_size: 1000 allow_timeout_override: true }
}
instance_group [ { count: 2 kind: KIND_CPU } ]
parameters { key: "owner" value { string_value: "the tests" } }
model_warmup [
  { name: "eight rows" batch_size: 8 inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 8 ] zero_data: true } } }
]
"""

VERSIONS = """
backend: "onnxruntime"
max_batch_size: 16
version_policy { specific { versions: [ 1, 3 ] } }
"""

LABELLED = """
max_batch_size: 16
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" } ]
"""

RELOADED = """
max_batch_size: 4
"""

SLOW = """
max_batch_size: 0
instance_group [ { count: 1 } ]
"""


def write_repository(root: Path) -> Path:
    """Write every model of the client tests below `root`."""
    _model(root, "tabular", {1: models.tabular()}, TABULAR)
    _model(root, "versions", {number: _added(number) for number in (1, 2, 3)}, VERSIONS)
    _model(root, "labelled", {1: models.identity(DType.FP32, ("N", 3))}, LABELLED)
    (root / "labelled" / "labels.txt").write_text("cat\ndog\nbird\n")
    _model(root, "reloaded", {1: models.identity(DType.FP32, ("N", 2))}, RELOADED)
    _model(root, "two", {1: models.two_inputs()})
    _model(root, "optional", {1: models.optional_input()})
    _model(root, "strings", {1: models.string_model()})
    _model(root, "sequence", {1: models.sequence_model()})
    _model(root, "poison", {1: models.poison()})
    _model(root, "slow", {1: models.counted_loop()}, SLOW)
    _model(root, "identity", {1: models.identity(DType.INT64, ("N", 2))})
    for dtype in DType:
        _model(root, f"identity-{dtype.lower()}", {1: models.identity(dtype, ("N", 2))})
    broken = root / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "model.onnx").write_bytes(b"this is no model")
    return root


def _model(root: Path, name: str, versions: dict[int, bytes], config: str = "") -> None:
    for number, content in versions.items():
        folder = root / name / str(number)
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(content)
    if config:
        (root / name / "config.pbtxt").write_text(config)


def _added(number: int) -> bytes:
    """x FP32 [N,1] -> y = x + number: an answer says which version gave it."""
    return models.build(
        [models.helper.make_node("Add", ["x", "number"], ["y"])],
        [models.value("x", DType.FP32, ["N", 1])],
        [models.value("y", DType.FP32, ["N", 1])],
        [models.constant("number", models.np.array([number], models.np.float32))],
    )


def real_models() -> str:
    """TOML for the real models that are installed."""
    found = []
    for name in ("magika", "ocr-classifier", "silero"):
        try:
            found.append(f'[models.{name}]\npath = "{models.real_model(name)}"\n')
        except FileNotFoundError:
            continue
        if name == "silero":
            found.append("batch_axes = { input = 0, state = 1, output = 0, stateN = 1 }\n")
    return "\n" + "".join(found)
