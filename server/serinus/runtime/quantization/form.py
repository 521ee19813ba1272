"""One form of a model, opened and run exactly as the server would: what is measured is what callers get."""

import dataclasses
from pathlib import Path

import numpy as np

from serinus.core.predictor import Request, Tensors
from serinus.core.signature import Signature, TensorSpec
from serinus.core.version import ModelVersion, Version
from serinus.runtime.model import load_model
from serinus.runtime.options import SessionOptions
from serinus.runtime.pool import ComputePool
from serinus.runtime.quantization.measuring import MOST_ROWS

_IDENTITY = ModelVersion("form", Version(1), 1)


class Form:
    """A model file that is loaded.

    Loading joins two calibration rows and compares; a form whose rows disturb each other, as those with dynamic ranges
    may, is served without joining them, and so it is measured.

    Attributes:
        signature: What it takes and gives, its batch axes as they are served.
        most_rows: In one run.
    """

    def __init__(self, path: Path, options: SessionOptions, samples: Tensors) -> None:
        # The pool is never entered: runs are made on the calling thread.
        self._model = load_model(_IDENTITY, path, dataclasses.replace(options, samples=samples), ComputePool(1))
        self.signature: Signature = self._model.signature
        self.most_rows = MOST_ROWS if self.signature.is_batched else 1

    def outputs(self, inputs: Tensors, rows: int = 1) -> Tensors:
        """What it answers to inputs of that many rows."""
        return self._model.run(Request(inputs, deadline=0.0, rows=rows)).outputs

    def outputs_by_row(self, inputs: Tensors, rows: int) -> list[Tensors]:
        """The same, cut into rows; only for a form whose rows are joined."""
        outputs = self.outputs(inputs, rows)
        axes = {spec.name: spec.batch_axis or 0 for spec in self.signature.outputs}
        return [{name: np.take(tensor, [row], axes[name]) for name, tensor in outputs.items()} for row in range(rows)]

    def run_s(self, inputs: Tensors, rows: int = 1) -> float:
        """Seconds of one run."""
        return self._model.run(Request(inputs, deadline=0.0, rows=rows)).compute_s


def differences(form: Signature, original: Signature) -> str:
    """How callers would see that it is another model, a sentence; "" if they would not."""
    for kind, own, wanted in (
        ("input", form.inputs, original.inputs),
        ("output", form.outputs, original.outputs),
    ):
        if [_seen(spec) for spec in own] != [_seen(spec) for spec in wanted]:
            return f"its {kind}s are {_told(own)}: expected {_told(wanted)}, as the float model has"
    return ""


def _seen(spec: TensorSpec) -> TensorSpec:
    # Whether rows are joined is the server's own affair.
    return dataclasses.replace(spec, batch_axis=None)


def _told(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.name[:64]} {spec.dtype}{list(spec.shape)}" for spec in specs[:8])
