"""Files that are no models, or models that cannot be served: one sentence each, and no paths."""

import random

import onnx
import pytest
from onnx import TensorProto, helper

from serinus.core.dtypes import DType
from serinus.core.errors import ModelRejected
from serinus.runtime.session import newest_ir_version, newest_opset
from tests.support import models


def rejection(load, source) -> tuple[str, str]:
    with pytest.raises(ModelRejected) as caught:
        load(source)
    return caught.value.reason, caught.value.message


def test_a_missing_file_is_rejected_by_its_name_alone(load, tmp_path):
    """The folder stays private."""
    assert rejection(load, tmp_path / "absent.onnx") == ("INVALID_MODEL", "there is no model file 'absent.onnx'")


def test_a_folder_is_not_a_model(load, tmp_path):
    """What the system says about it is passed on."""
    (tmp_path / "folder.onnx").mkdir()
    assert rejection(load, tmp_path / "folder.onnx") == (
        "INVALID_MODEL",
        "the model file 'folder.onnx' cannot be read: Is a directory",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "the model file 'model.onnx' is empty", id="empty"),
        pytest.param(
            models.tabular()[:-7],
            f"the model file 'model.onnx' of {len(models.tabular()) - 7} bytes is not an ONNX model, or is damaged",
            id="truncated",
        ),
        pytest.param(
            b"\x7fELF not a model",
            "the model file 'model.onnx' of 16 bytes is not an ONNX model, or is damaged",
            id="garbage",
        ),
        pytest.param(
            onnx.ModelProto(ir_version=8).SerializeToString(),
            "the model file 'model.onnx' holds no ONNX graph with an output",
            id="no graph",
        ),
    ],
)
def test_damaged_files_are_rejected(load, content, message):
    """Before onnxruntime sees them."""
    assert rejection(load, content) == ("INVALID_MODEL", message)


def test_a_model_of_a_future_opset_names_the_newest_supported(load):
    """The operator learns what to export for."""
    assert rejection(load, models.identity(opset=99)) == (
        "MODEL_TOO_NEW",
        f"the model file 'model.onnx' needs opset 99; the newest supported is {newest_opset()}",
    )


def test_a_model_of_a_future_format_names_the_newest_supported(load):
    """The same for the file format."""
    assert rejection(load, models.identity(ir_version=99)) == (
        "MODEL_TOO_NEW",
        f"the model file 'model.onnx' has IR version 99; the newest supported is {newest_ir_version()}",
    )


def test_the_newest_supported_versions_load(load):
    """What the messages promise is true."""
    load(models.identity(opset=newest_opset(), ir_version=newest_ir_version()))
    assert (newest_opset() > 20, newest_ir_version() > 9) == (True, True)


def test_an_operator_of_an_unknown_domain_is_rejected(load):
    """Nothing loads the library that it would need, in a subgraph either."""
    node = helper.make_node("Own", ["x"], ["y"], domain="com.example")
    x, y = models.value("x", DType.FP32, ["N"]), models.value("y", DType.FP32, ["N"])
    message = (
        "the model file 'model.onnx' uses the operator 'Own' of the unknown domain 'com.example';"
        " custom operators are not loaded"
    )
    assert rejection(load, models.build([node], [x], [y])) == ("UNKNOWN_OPERATOR", message)
    inside = helper.make_graph([node], "inside", [], [y])
    outer = helper.make_node("If", ["go"], ["y"], then_branch=inside, else_branch=inside)
    nested = models.build([outer], [x, models.value("go", DType.BOOL, [])], [y])
    assert rejection(load, nested) == ("UNKNOWN_OPERATOR", message)


def test_functions_of_the_model_itself_are_no_unknown_domain(load):
    """A domain that the file defines needs no library."""
    x, y = models.value("x", DType.FP32, ["N", 2]), models.value("y", DType.FP32, ["N", 2])
    standard = helper.make_opsetid("", 17)
    own = helper.make_function("own", "Same", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [standard])
    graph = helper.make_graph([helper.make_node("Same", ["x"], ["y"], domain="own")], "test", [x], [y])
    opsets = [standard, helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, functions=[own], opset_imports=opsets, ir_version=10)
    assert load(model.SerializeToString()).signature.is_batched


X, Y = models.value("x", DType.FP32, ["N", 2]), models.value("y", DType.FP32, ["N", 2])


def weight(dims: list[int]) -> TensorProto:
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)


ADDING = [helper.make_node("Add", ["x", "w"], ["y"])]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(
            models.build(
                [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["x", "a"], ["b"])],
                [X],
                [models.value("a", DType.FP32, ["N", 2])],
            ),
            "its graph has a cycle",
            id="a cycle",
        ),
        pytest.param(
            models.build([helper.make_node("Identity", ["x"], ["y"])] * 2, [X], [Y]),
            "it defines a name twice",
            id="two nodes of one output",
        ),
        pytest.param(
            models.build([helper.make_node("Identity", ["x"], ["z"])], [X], [Y]),
            "nothing gives one of its outputs",
            id="an output of nothing",
        ),
        pytest.param(
            models.build([helper.make_node("Identity", ["z"], ["y"])], [X], [Y]),
            "a node takes what nothing gives",
            id="an unknown name",
        ),
        pytest.param(
            models.build([helper.make_node("Fly", ["x"], ["y"])], [X], [Y]),
            "it uses an operator that its opset does not have",
            id="an unknown operator",
        ),
        pytest.param(
            models.build(ADDING, [X], [Y], [weight([5])]),
            "shapes in its graph contradict each other",
            id="shapes that do not fit",
        ),
    ],
)
def test_impossible_graphs_are_rejected_in_silence(load, tmp_path, content, why, capfd):
    """In our words; onnxruntime's text, which may hold paths, is kept as the cause and printed nowhere."""
    reason, message = rejection(load, content)
    assert reason == "INVALID_MODEL"
    assert message.startswith("onnxruntime ")
    assert message.endswith(f" refuses the model file 'model.onnx': {why}")
    assert str(tmp_path) not in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dims", [[2**40], [2**62, 2**62], [-5]])
def test_impossible_weights_are_rejected(load, dims):
    """Before anything is allocated for them."""
    assert rejection(load, models.build(ADDING, [X], [Y], [weight(dims)])) == (
        "INVALID_MODEL",
        f"the model file 'model.onnx' holds the weight 'w' of the impossible shape {dims}",
    )


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        pytest.param(
            models.build([helper.make_node("SequenceConstruct", ["x"], ["y"])], [X],
                         [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)]),
            "UNSUPPORTED_TYPE", "the model's 'y' is a seq(tensor(float))", id="a sequence"),
        pytest.param(
            models.build([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E4M3FN)], [X],
                         [helper.make_tensor_value_info("y", TensorProto.FLOAT8E4M3FN, ["N", 2])], opset=20),
            "UNSUPPORTED_TYPE", "the model's 'y' is a tensor(float8e4m3fn)", id="8-bit floats"),
        pytest.param(
            models.build([helper.make_node("Identity", ["x"], ["y"])], [models.value("x", DType.FP32, None)],
                         [models.value("y", DType.FP32, None)]),
            "UNKNOWN_RANK", "the model does not say how many axes 'x' has", id="no rank"),
        pytest.param(
            models.build([helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["a"], ["b"])],
                         [models.value("x", DType.BF16, [1]), models.value("a", DType.BYTES, [1])],
                         [models.value("y", DType.BF16, [1]), models.value("b", DType.BYTES, [1])]),
            "UNSUPPORTED_TYPE", "models that mix BF16 and BYTES", id="BF16 with text"),
    ],
)  # fmt: skip
def test_tensors_that_no_protocol_carries_are_rejected(load, content, reason, words):
    """The message names the tensor and what it is."""
    rejected = rejection(load, content)
    assert (rejected[0], rejected[1][: len(words)]) == (reason, words)


def test_names_that_are_no_text_are_rejected(load):
    """A damaged letter is enough."""
    content = models.identity(shape=("QQQQ", 2)).replace(b"QQQQ", b"\xff\xfe\xff\xfe")
    assert rejection(load, content) == (
        "INVALID_MODEL",
        "the model file 'model.onnx' holds names that are not UTF-8 text",
    )


def test_damaged_bits_are_rejected_or_served_but_never_raise_anything_else(load):
    """Flipped and cut at random, always the same way."""
    rng, whole, outcomes = random.Random(5), models.tabular(), set()
    for _ in range(300):
        content = bytearray(whole[: rng.randrange(1, len(whole))] if rng.random() < 0.3 else whole)
        for _ in range(rng.randrange(1, 4)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        try:
            load(bytes(content))
        except ModelRejected as error:
            outcomes.add(error.reason)
    assert "INVALID_MODEL" in outcomes
