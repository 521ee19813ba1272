"""Large weights are set aside, and nothing else of a model changes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from serinus.core.dtypes import DType
from serinus.core.predictor import Request
from serinus.runtime.carving import WHOLE_FILE, carve
from tests.support import models

RNG = np.random.default_rng(0)
LARGE = RNG.standard_normal((64, 64)).astype(np.float32)
SMALL = RNG.standard_normal(64).astype(np.float32)


def linear(*weights: TensorProto) -> bytes:
    """y = x @ large + small."""
    return models.build(
        [helper.make_node("MatMul", ["x", "large"], ["xw"]), helper.make_node("Add", ["xw", "small"], ["y"])],
        [models.value("x", DType.FP32, ["N", 64])],
        [models.value("y", DType.FP32, ["N", 64])],
        weights,
    )


def put_back(content: bytes, carved: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto.FromString(carved)
    for tensor in model.graph.initializer:
        said = {entry.key: entry.value for entry in tensor.external_data}
        if said.get("location") == WHOLE_FILE:
            start = int(said["offset"])
            tensor.raw_data = content[start : start + int(said["length"])]
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    return model


def test_only_large_weights_are_set_aside():
    """Put back, they make the same model."""
    content = linear(numpy_helper.from_array(LARGE, "large"), numpy_helper.from_array(SMALL, "small"))
    carved = carve(content)
    assert carved.count == 1
    assert len(carved.content) < 1000
    assert put_back(content, carved.content) == onnx.ModelProto.FromString(content)


def without_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its large constants among its weights, which are in the order of their names."""
    nodes, weights = [], list(model.graph.initializer)
    for node in model.graph.node:
        if node.op_type == "Constant" and len(node.attribute[0].t.raw_data) >= 4096:
            weights.append(TensorProto())
            weights[-1].CopyFrom(node.attribute[0].t)
            weights[-1].name = node.output[0]
        else:
            nodes.append(node)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.ClearField("node")
    other.graph.ClearField("initializer")
    other.graph.node.extend(nodes)
    other.graph.initializer.extend(sorted(weights, key=lambda tensor: tensor.name))
    return other


@pytest.mark.parametrize(
    ("name", "count"), [("magika", 3), ("ocr-classifier", 0), ("ocr-recognition", 42), ("silero", 0)]
)
def test_real_models_stay_what_they_are(name, count):
    """However their exporters write them: weights as initializers, as constants, or in branches, where they stay."""
    content = models.real_model(name).read_bytes()
    carved = carve(content)
    assert carved.count == count
    expected = without_constants(onnx.ModelProto.FromString(content))
    assert without_constants(put_back(content, carved.content)) == expected


def constant(output: str, **attribute: object) -> bytes:
    """y = x + a large constant."""
    attribute = attribute or {"value": numpy_helper.from_array(LARGE, "any")}
    return models.build(
        [helper.make_node("Constant", [], [output], **attribute), helper.make_node("Add", ["x", "large"], ["y"])],
        [models.value("x", DType.FP32, ["N", 64, 64])],
        [models.value("y", DType.FP32, ["N", 64, 64])],
    )


def test_a_constant_is_as_good_as_a_weight(load):
    """It answers the same."""
    content = constant("large")
    assert carve(content).count == 1
    response = load(content).run(Request({"x": np.zeros((1, 64, 64), np.float32)}, deadline=0.0))
    np.testing.assert_array_equal(response.outputs["y"], LARGE[None])


def test_a_constant_that_takes_the_place_of_an_input_stays():
    """As a weight it would be the input's default; as it is, the model is not valid."""
    content = constant("x")
    assert carve(content).content is content


def old(content: bytes) -> bytes:
    model = onnx.ModelProto.FromString(content)
    model.ir_version = 3
    return model.SerializeToString()


def twice(content: bytes) -> bytes:
    """The graph in two parts, as the wire format allows."""
    model = onnx.ModelProto.FromString(content)
    weights = onnx.ModelProto()
    weights.graph.initializer.extend(model.graph.initializer)
    model.graph.ClearField("initializer")
    return model.SerializeToString() + weights.SerializeToString()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x3a",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x3a\x05\x0a",
        b"\x0b\x0c",
        linear(numpy_helper.from_array(LARGE, "large"))[:-9],
        twice(linear(numpy_helper.from_array(LARGE, "large"))),
        linear(TensorProto(name="large", data_type=TensorProto.FLOAT, dims=[64, 64], float_data=LARGE.ravel())),
        old(constant("large")),
        constant("large", value_floats=[0.0] * 4096),
        linear(TensorProto(name="large", data_type=TensorProto.STRING, dims=[1], raw_data=bytes(8192))),
        linear(
            TensorProto(
                name="large",
                data_type=TensorProto.FLOAT,
                dims=[64, 64],
                raw_data=LARGE.tobytes(),
                data_location=TensorProto.EXTERNAL,
            )
        ),
    ],
    ids=[
        "empty",
        "cut",
        "no number",
        "too short",
        "group",
        "truncated",
        "twice",
        "typed",
        "old",
        "floats",
        "text",
        "external",
    ],
)
def test_what_is_unusual_is_left_as_it_is(content):
    """Whoever parses it decides."""
    assert carve(content).content is content


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.float16, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64]
)
def test_weights_of_every_type_arrive(load, dtype):
    """Bit by bit."""
    weights = RNG.integers(0, 100, 8192).astype(dtype)
    model = load(
        models.build(
            [helper.make_node("Gather", ["w", "x"], ["y"])],
            [models.value("x", DType.INT64, ["N"])],
            [models.value("y", next(each for each in DType if each.numpy == np.dtype(dtype)), ["N"])],
            [numpy_helper.from_array(weights, "w")],
        )
    )
    indices = np.arange(8192, dtype=np.int64)
    response = model.run(Request({"x": indices}, deadline=0.0, rows=8192))
    np.testing.assert_array_equal(response.outputs["y"], weights)
