"""Finds between which values each tensor of a model lies, by running real rows through all of it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
from onnxruntime.quantization import CalibrationDataReader  # type: ignore[import-untyped]  # it ships no types
from onnxruntime.quantization.calibrate import MinMaxCalibrater  # type: ignore[import-untyped]  # it ships no types
from onnxruntime.quantization.registry import (  # type: ignore[import-untyped]  # it ships no types
    QDQRegistry,
    QLinearOpsRegistry,
)

from serinus.core.predictor import Tensor
from serinus.runtime.quantization.calibration import Calibration
from serinus.runtime.quantization.preparing import PreparedModel

Ranges = Any
"""Smallest and largest value of each tensor by its name, in the type that onnxruntime hands on to itself."""

_SILENT = 4


def static_operators() -> list[str]:
    """What can be quantized with ranges that are known beforehand."""
    return sorted({*QLinearOpsRegistry, *QDQRegistry})


def find_ranges(model: PreparedModel, calibration: Calibration, folder: Path) -> Ranges:
    """The ranges over all rows, run one at a time. Writes a model with more outputs to `folder`."""
    widened = folder / "widened.onnx"
    calibrator = MinMaxCalibrater(model.path, static_operators(), augmented_model_path=str(widened))
    calibrator.augment_graph()
    # Its own session would take all processors, and spin on them.
    calibrator.infer_session = _plain_session(widened)
    calibrator.collect_data(Rows(calibration))
    return calibrator.compute_data()


class Rows(CalibrationDataReader):  # type: ignore[misc]  # it ships no types
    """The rows of calibration data, one after the other, as onnxruntime's calibrators take them."""

    def __init__(self, calibration: Calibration) -> None:
        self._rows = (calibration.take(row, 1) for row in range(calibration.rows))

    def get_next(self) -> dict[str, Tensor] | None:
        """Inputs of the next row; None after the last."""
        row = next(self._rows, None)
        return None if row is None else {name: _text(tensor) for name, tensor in row.items()}


def _text(tensor: Tensor) -> Tensor:
    if not tensor.dtype.hasobject:
        return tensor
    texts = np.empty(tensor.size, np.object_)
    texts[:] = [element.decode() for element in tensor.ravel().tolist()]
    return texts.reshape(tensor.shape)


def _plain_session(path: Path) -> object:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _SILENT
    settings.intra_op_num_threads = 1
    # Optimized away, a tensor would have no range.
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"], enable_fallback=0)
