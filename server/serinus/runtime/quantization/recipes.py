"""The ways to quantize: each makes a model file out of a prepared one, or says in a sentence why it does not apply."""

import platform
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import onnx
from onnxruntime.quantization import (  # type: ignore[import-untyped]  # it ships no types
    QDQQuantizer,
    QuantType,
    quantize_dynamic,
)
from onnxruntime.quantization.onnx_quantizer import (  # type: ignore[import-untyped]  # it ships no types
    ONNXQuantizer,
)
from onnxruntime.quantization.quant_utils import (  # type: ignore[import-untyped]  # it ships no types
    QuantizationMode,
    load_model_with_shape_infer,
)
from onnxruntime.quantization.registry import (  # type: ignore[import-untyped]  # it ships no types
    IntegerOpsRegistry,
)
from onnxruntime.transformers.float16 import (  # type: ignore[import-untyped]  # it ships no types
    convert_float_to_float16,
)

from serinus.runtime.quantization.preparing import CHANNEL_OPSET, PreparedModel
from serinus.runtime.quantization.ranges import Ranges, static_operators
from serinus.runtime.quantization.recipe_names import RecipeName

MULTIPLIES = ("MatMul", "Gemm")
_CPU_FACTS = Path("/proc/cpuinfo")


class NotApplicable(Exception):
    """The recipe has nothing to do with this model; the text is a sentence."""


Build = Callable[[PreparedModel, Callable[[], Ranges], Path], None]
"""Writes the quantized form of a model to a path; raises NotApplicable, and whatever the tools raise."""


def write_static(
    model: PreparedModel, ranges: Ranges, path: Path, *, per_channel: bool = False, excluded: Collection[str] = ()
) -> None:
    """Int8 with ranges known beforehand, in the QDQ format.

    Args:
        model: Where to start.
        ranges: Of all its tensors.
        path: Where to write.
        per_channel: A scale for each channel of the weights.
        excluded: Names of nodes that stay as they are.
    """
    try:
        _write_qdq(model, ranges, path, per_channel=per_channel, excluded=excluded)
    except ValueError:
        # Its care for small biases fails on a bias of more than one axis.
        careless = {"QDQDisableWeightAdjustForInt32Bias": True}
        _write_qdq(model, ranges, path, per_channel=per_channel, excluded=excluded, extra=careless)


def _write_qdq(
    model: PreparedModel,
    ranges: Ranges,
    path: Path,
    *,
    per_channel: bool,
    excluded: Collection[str],
    extra: Mapping[str, bool] | None = None,
) -> None:
    quantizer = QDQQuantizer(
        load_model_with_shape_infer(model.path),
        per_channel,
        _needs_7_bits(),
        QuantType.QInt8,
        _activation_type(),
        ranges,
        [],
        list(excluded),
        static_operators(),
        dict(extra or {}),
    )
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(path), False)


def _dynamic_matmul(model: PreparedModel, _ranges: Callable[[], Ranges], path: Path) -> None:
    _check_float(model, MULTIPLIES)
    _write_dynamic(model, path, ["MatMul"])


def _dynamic_all(model: PreparedModel, _ranges: Callable[[], Ranges], path: Path) -> None:
    _check_float(model, (*IntegerOpsRegistry, *MULTIPLIES))
    if not any(name in IntegerOpsRegistry and name not in MULTIPLIES for name in model.weighted):
        raise NotApplicable(f"only matrix multiplications could be quantized: see {RecipeName.DYNAMIC_MATMUL}")
    _write_dynamic(model, path, list(IntegerOpsRegistry))


def _static_tensor(model: PreparedModel, ranges: Callable[[], Ranges], path: Path) -> None:
    check_static(model)
    write_static(model, ranges(), path)


def _static_channel(model: PreparedModel, ranges: Callable[[], Ranges], path: Path) -> None:
    check_static(model)
    if model.opset < CHANNEL_OPSET:
        raise NotApplicable(
            f"scales per channel need opset {CHANNEL_OPSET}, and the model cannot be converted from {model.opset}"
        )
    write_static(model, ranges(), path, per_channel=True)


def _static_qoperator(model: PreparedModel, ranges: Callable[[], Ranges], path: Path) -> None:
    check_static(model)
    quantizer = ONNXQuantizer(
        load_model_with_shape_infer(model.path),
        False,
        _needs_7_bits(),
        QuantizationMode.QLinearOps,
        True,
        QuantType.QInt8,
        _activation_type(),
        ranges(),
        [],
        [],
        static_operators(),
        {},
    )
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(path), False)


def _fp16(model: PreparedModel, _ranges: Callable[[], Ranges], path: Path) -> None:
    if not model.weighted:
        raise NotApplicable("the model has no float weights")
    onnx.save(convert_float_to_float16(onnx.load(model.path), keep_io_types=True), path)


RECIPES: Mapping[RecipeName, Build] = {
    RecipeName.DYNAMIC_MATMUL: _dynamic_matmul,
    RecipeName.DYNAMIC_ALL: _dynamic_all,
    RecipeName.STATIC_QDQ_TENSOR: _static_tensor,
    RecipeName.STATIC_QDQ_CHANNEL: _static_channel,
    RecipeName.STATIC_QOPERATOR: _static_qoperator,
    RecipeName.FP16: _fp16,
}
"""All but the one that tries several forms, which is in `exclusion`."""


def check_static(model: PreparedModel) -> None:
    """Raise NotApplicable if static recipes find nothing in the model."""
    _check_float(model, ("Conv", "ConvTranspose", *MULTIPLIES))


def _check_float(model: PreparedModel, operators: Collection[str]) -> None:
    if model.is_quantized:
        raise NotApplicable("the model is quantized already")
    if not any(name in operators for name in model.weighted):
        wanted = ", ".join(dict.fromkeys(operators))
        raise NotApplicable(f"the model has no operator with constant float weights among {wanted}")


def _write_dynamic(model: PreparedModel, path: Path, operators: list[str]) -> None:
    quantize_dynamic(
        model.path,
        path,
        op_types_to_quantize=operators,
        # Costs nothing here, and is several times closer to the float model.
        per_channel=model.opset >= CHANNEL_OPSET,
        reduce_range=_needs_7_bits(),
        weight_type=QuantType.QInt8,
    )


def _activation_type() -> object:
    # x86 multiplies unsigned by signed bytes, ARM signed ones; the other choice is twice as slow there.
    return QuantType.QInt8 if platform.machine() in {"aarch64", "arm64"} else QuantType.QUInt8


def _needs_7_bits() -> bool:
    """Whether sums of two products overflow: x86 processors without VNNI add them in 16 bits."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return False
    try:
        facts = _CPU_FACTS.read_text()
    except OSError:
        return True
    return "avx512_vnni" not in facts and "avx_vnni" not in facts
