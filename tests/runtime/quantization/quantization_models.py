"""Small models to quantize, each with one property, and rows for them."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from serinus.core.dtypes import DType
from tests.support.models import build, constant, value

WIDTH = 64


def dense(*, opset: int = 17, layers: int = 3, batch: str | int = "N") -> bytes:
    """Matrix multiplications: x FP32 [N,64] -> y FP32 [N,64], with ReLU between layers."""
    rng = np.random.default_rng(1)
    nodes, weights, name = [], [], "x"
    for layer in range(layers):
        matrix = rng.normal(0, WIDTH**-0.5, (WIDTH, WIDTH)).astype(np.float32)
        weights.append(constant(f"w{layer}", matrix))
        nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], [f"h{layer}"]))
        name = "y" if layer == layers - 1 else f"a{layer}"
        nodes.append(helper.make_node("Relu" if name != "y" else "Identity", [f"h{layer}"], [name]))
    return build(
        nodes,
        [value("x", DType.FP32, [batch, WIDTH])],
        [value("y", DType.FP32, [batch, WIDTH])],
        weights,
        opset=opset,
        ir_version=7 if opset < 13 else 10,
    )


def dense_rows(rows: int = 16) -> dict[str, np.ndarray]:
    """Rows for `dense`."""
    return {"x": np.random.default_rng(2).normal(size=(rows, WIDTH)).astype(np.float32)}


def convolutional(*, opset: int = 17) -> bytes:
    """Convolutions: x FP32 [N,3,16,16] -> y FP32 [N,4]."""
    rng = np.random.default_rng(3)
    first = constant("k1", rng.normal(0, 0.2, (16, 3, 3, 3)).astype(np.float32))
    second = constant("k2", rng.normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32))
    last = constant("w", rng.normal(0, 0.3, (16, 4)).astype(np.float32))
    return build(
        [
            helper.make_node("Conv", ["x", "k1"], ["c1"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c1"], ["r1"]),
            helper.make_node("Conv", ["r1", "k2"], ["c2"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c2"], ["r2"]),
            helper.make_node("GlobalAveragePool", ["r2"], ["p"]),
            helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("Gemm", ["f", "w"], ["y"]),
        ],
        [value("x", DType.FP32, ["N", 3, 16, 16])],
        [value("y", DType.FP32, ["N", 4])],
        [first, second, last],
        opset=opset,
        ir_version=7 if opset < 13 else 10,
    )


def convolutional_rows(rows: int = 8) -> dict[str, np.ndarray]:
    """Rows for `convolutional`."""
    return {"x": np.random.default_rng(4).normal(size=(rows, 3, 16, 16)).astype(np.float32)}


def fragile() -> bytes:
    """Answers from its small inputs alone: x FP32 [N,64] -> y FP32 [N,64]; the first column counts for nothing."""
    matrix = np.random.default_rng(5).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    matrix[0] = 0
    return build(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", DType.FP32, ["N", WIDTH])],
        [value("y", DType.FP32, ["N", WIDTH])],
        [constant("w", matrix)],
    )


def fragile_rows(rows: int = 8) -> dict[str, np.ndarray]:
    """Rows for `fragile`, whose first column is so large that int8 has no room for the others."""
    inputs = np.random.default_rng(6).normal(size=(rows, WIDTH)).astype(np.float32)
    inputs[:, 0] = 1e6
    return {"x": inputs}


def fading() -> bytes:
    """Convolutions that quantize well around arithmetic that does not: x FP32 [N,3,16,16] -> y FP32 [N,16]."""
    kernel = constant("k", np.random.default_rng(7).normal(0, 0.2, (16, 3, 3, 3)).astype(np.float32))
    return build(
        [
            helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("GlobalAveragePool", ["c"], ["p"]),
            helper.make_node("Flatten", ["p"], ["f"]),
            # Adding and taking away what is a million times larger leaves nothing of eight bits.
            helper.make_node("Add", ["f", "large"], ["up"]),
            helper.make_node("Mul", ["up", "one"], ["same"]),
            helper.make_node("Sub", ["same", "large"], ["y"]),
        ],
        [value("x", DType.FP32, ["N", 3, 16, 16])],
        [value("y", DType.FP32, ["N", 16])],
        [kernel, constant("large", np.array([1000], np.float32)), constant("one", np.array([1], np.float32))],
    )


def labelled() -> bytes:
    """Numbers and names: x FP32 [N,64] -> scores FP32 [N,64], label BYTES [N], the name of the largest score."""
    matrix = np.random.default_rng(8).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["index"], axis=1, keepdims=0),
            helper.make_node(
                "LabelEncoder",
                ["index"],
                ["label"],
                domain="ai.onnx.ml",
                keys_int64s=list(range(WIDTH)),
                values_strings=[f"class {number}" for number in range(WIDTH)],
            ),
        ],
        "labelled",
        [value("x", DType.FP32, ["N", WIDTH])],
        [value("scores", DType.FP32, ["N", WIDTH]), helper.make_tensor_value_info("label", TensorProto.STRING, ["N"])],
        [constant("w", matrix)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def swelling() -> bytes:
    """Needs 512 MiB for a row: x FP32 [N,64] -> y FP32 [N,1]."""
    return build(
        [
            helper.make_node("Tile", ["x", "times"], ["large"]),
            helper.make_node("Exp", ["large"], ["larger"]),
            helper.make_node("ReduceMax", ["larger"], ["y"], axes=[1]),
        ],
        [value("x", DType.FP32, ["N", WIDTH])],
        [value("y", DType.FP32, ["N", 1])],
        [constant("times", np.array([1, 1 << 20], np.int64))],
    )


def outside(content: bytes, location: str = "weights.bin") -> tuple[bytes, bytes]:
    """The model with its float weights in another file, and that file."""
    model = onnx.ModelProto.FromString(content)
    weights = b""
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in (("location", location), ("offset", str(len(weights))), ("length", str(len(raw)))):
            tensor.external_data.add(key=key, value=text)
        weights += raw
    return model.SerializeToString(), weights
