"""Making models ready to be quantized."""

import numpy as np
import onnx
import pytest
from onnx import helper

from serinus.core.dtypes import DType
from serinus.core.errors import ModelRejected
from serinus.runtime.quantization.preparing import gather, prepare
from serinus.runtime.quantization.preparing_ways import Way
from tests.runtime.quantization.quantization_models import convolutional, dense, outside
from tests.support.models import build, constant, value


@pytest.fixture
def prepared(tmp_path):
    """A function from a model file's bytes and a way to what it is prepared as."""

    def run(content: bytes, way: Way):
        original = tmp_path / "original.onnx"
        original.write_bytes(content)
        return prepare(original, way, tmp_path / "prepared.onnx")

    return run


def test_an_old_model_gets_operators_that_know_channels(prepared):
    """Scales for each channel need opset 13; inputs and outputs stay as they were."""
    model = prepared(convolutional(opset=11), Way.UPGRADED)
    assert model is not None
    assert model.opset == 13
    upgraded, original = onnx.load(model.path), onnx.ModelProto.FromString(convolutional(opset=11))
    assert list(upgraded.graph.input) == list(original.graph.input)
    assert list(upgraded.graph.output) == list(original.graph.output)


def test_a_new_model_need_not_be_upgraded(prepared):
    """Then the next way is tried."""
    assert prepared(convolutional(opset=17), Way.UPGRADED) is None
    model = prepared(convolutional(opset=17), Way.FOLDED)
    assert model is not None
    assert (model.opset, model.weighted, model.is_quantized) == (17, {"Conv": 2, "Gemm": 1}, False)


def test_constants_are_folded(prepared):
    """Weights that are computed from constants become weights, which recipes can see."""
    content = build(
        [
            helper.make_node("Cast", ["small"], ["large"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", ["large", "scale"], ["w"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        [value("x", DType.FP32, ["N", 2])],
        [value("y", DType.FP32, ["N", 2])],
        [constant("small", np.ones((2, 2), np.int8)), constant("scale", np.array(0.5, np.float32))],
    )
    model = prepared(content, Way.FOLDED)
    assert model is not None
    assert (model.operators, model.weighted) == ({"MatMul": 1}, {"MatMul": 1})


def test_weights_stored_in_few_bits_are_float_weights(prepared):
    """A model whose weights are dequantized at load still computes with floats, and can gain."""
    content = build(
        [
            helper.make_node("DequantizeLinear", ["q", "scale"], ["w"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        [value("x", DType.FP32, ["N", 2])],
        [value("y", DType.FP32, ["N", 2])],
        [constant("q", np.ones((2, 2), np.int8)), constant("scale", np.array(0.5, np.float32))],
    )
    model = prepared(content, Way.FOLDED)
    assert model is not None
    assert (model.weighted, model.is_quantized) == ({"MatMul": 1}, False)


@pytest.mark.parametrize("way", [Way.FOLDED, Way.PLAIN])
def test_nodes_have_names_of_their_own(prepared, way):
    """Recipes leave nodes out by name."""
    model = prepared(dense(), way)
    assert model is not None
    names = [node.name for node in onnx.load(model.path).graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


def test_weights_of_other_files_are_gathered_into_one(tmp_path):
    """The size is that of all files, as they were."""
    content, weights = outside(dense())
    (tmp_path / "model.onnx").write_bytes(content)
    (tmp_path / "weights.bin").write_bytes(weights)
    size_bytes = gather(tmp_path / "model.onnx", tmp_path / "float.onnx")
    assert size_bytes == len(content) + len(weights)
    model = onnx.load(tmp_path / "float.onnx", load_external_data=False)
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    assert b"".join(tensor.raw_data for tensor in model.graph.initializer) == weights


def test_the_size_of_a_model_in_one_file_is_that_file_s(tmp_path):
    """However its weights are read."""
    (tmp_path / "model.onnx").write_bytes(dense())
    assert gather(tmp_path / "model.onnx", tmp_path / "float.onnx") == len(dense())


def test_what_is_no_model_is_refused(tmp_path):
    """As when it is served."""
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelRejected):
        gather(tmp_path / "model.onnx", tmp_path / "float.onnx")
