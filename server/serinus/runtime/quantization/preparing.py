"""Makes a model ready to be quantized: constants folded, shapes known, operators new enough, every node named."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import assert_never

import onnx
import onnxruntime  # type: ignore[import-untyped]  # it ships no types

from serinus.core.errors import ModelRejected
from serinus.runtime.carving import WHOLE_FILE
from serinus.runtime.external_data import embed_external_data
from serinus.runtime.model_file import read_model_file
from serinus.runtime.quantization.preparing_ways import Way
from serinus.runtime.sources import ModelSource

CHANNEL_OPSET = 13  # from here on, QuantizeLinear knows axes
MOST_BYTES = (1 << 31) - (1 << 20)  # what one protobuf message holds, and room for the graph
_SILENT = 4


@dataclasses.dataclass(frozen=True)
class PreparedModel:
    """A model file that recipes start from.

    Attributes:
        path: The file; everything is in it.
        opset: Version of its standard operators.
        operators: How many of each the graph has; inner graphs count for nothing, because no recipe looks there.
        weighted: The same, of those that have constant float weights.
        is_quantized: Whether it computes with integers already.
    """

    path: Path
    opset: int
    operators: Mapping[str, int]
    weighted: Mapping[str, int]
    is_quantized: bool


def gather(source: ModelSource, path: Path) -> int:
    """Write the model with all its weights into the one file `path`; the bytes of the files that it was in.

    Raises:
        ModelRejected: the files are not a model that can be served, or are too large for one file.
        DataLost: a file is not what was registered.
    """
    file = read_model_file(source)
    weights = {location: len(content) for location, content in file.external_data.items()}
    # The model file itself may be where its weights are.
    size_bytes = sum(weights.values()) + (0 if WHOLE_FILE in weights else len(file.content))
    if size_bytes > MOST_BYTES:
        raise ModelRejected(
            f"the model has {size_bytes} bytes: at most {MOST_BYTES} can be quantized", reason="TOO_LARGE"
        )
    content = file.content
    if file.external_data:
        model = onnx.ModelProto.FromString(content)
        embed_external_data(model.graph.initializer, file.external_data)
        content = model.SerializeToString()
    path.write_bytes(content)
    return size_bytes


def prepare(original: Path, way: Way, path: Path) -> PreparedModel | None:
    """Write the prepared model to `path`; None if it cannot be prepared that way, or need not be.

    Whoever wants it must find out whether it still answers alike.
    """
    model = onnx.load(original)
    match way:
        case Way.UPGRADED:
            upgraded = _upgraded(model)
            is_folded = upgraded is not None and _fold(upgraded, path)
        case Way.FOLDED:
            is_folded = _fold(model, path)
        case Way.PLAIN:
            onnx.save(_with_shapes(model), path)
            return _described(path)
        case _:
            assert_never(way)
    if not is_folded:
        return None
    folded = onnx.load(path)
    _restore_signature(folded, model)
    onnx.save(_with_shapes(folded), path)
    return _described(path)


def _described(path: Path) -> PreparedModel:
    """What there is to quantize in the file; its nodes get names."""
    model = onnx.load(path)
    _name_nodes(model)
    onnx.save(model, path)
    constants = {tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    operators = Counter(node.op_type for node in model.graph.node)
    return PreparedModel(
        path=path,
        opset=_opset(model),
        operators=operators,
        weighted=Counter(node.op_type for node in model.graph.node if constants.intersection(node.input)),
        is_quantized=any(_is_integer(name) for name in operators),
    )


def _opset(model: onnx.ModelProto) -> int:
    """Version of the standard operators; 0 if it uses none."""
    return max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)


def _is_integer(operator: str) -> bool:
    # DequantizeLinear alone only stores weights in few bits.
    return operator.startswith(("QLinear", "QGemm", "QAttention", "DynamicQuantize")) or operator in {
        "QuantizeLinear",
        "ConvInteger",
        "MatMulInteger",
        "MatMulIntegerToFloat",
    }


def _upgraded(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model with operators that know per-channel scales; None if it has them, or cannot have them."""
    if _opset(model) >= CHANNEL_OPSET:
        return None
    try:
        upgraded = onnx.version_converter.convert_version(model, CHANNEL_OPSET)
    except Exception:  # noqa: BLE001 - its exceptions share no base class
        return None
    upgraded.ir_version = max(upgraded.ir_version, model.ir_version, 7)  # the first that allows this opset
    return upgraded


def _fold(model: onnx.ModelProto, path: Path) -> bool:
    """Write the model with constants folded and without what does nothing; whether that succeeded."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _SILENT
    settings.intra_op_num_threads = 1
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    settings.optimized_model_filepath = str(path)
    if not any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        # Weights that are only stored in few bits become float weights again, which recipes know how to treat.
        settings.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        onnxruntime.InferenceSession(
            model.SerializeToString(), settings, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception:  # noqa: BLE001 - its exceptions share no base class
        return False
    return path.exists()


def _restore_signature(folded: onnx.ModelProto, original: onnx.ModelProto) -> None:
    """Say of inputs and outputs exactly what the author said: the optimizer may have found out more."""
    declared = {value.name: value for value in (*original.graph.input, *original.graph.output)}
    for value in (*folded.graph.input, *folded.graph.output):
        if value.name in declared:
            value.CopyFrom(declared[value.name])
    used = {node.domain for node in folded.graph.node} | {function.domain for function in folded.functions}
    used |= {"", "ai.onnx"} | {entry.domain for entry in original.opset_import}
    for entry in [entry for entry in folded.opset_import if entry.domain not in used]:
        folded.opset_import.remove(entry)


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # noqa: BLE001 - its exceptions share no base class
        return model


def _name_nodes(model: onnx.ModelProto) -> None:
    taken = {node.name for node in model.graph.node}
    for number, node in enumerate(model.graph.node):
        if not node.name:
            node.name = f"node_{number}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)
