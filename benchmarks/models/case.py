"""A model to measure: its file, what callers send it, and how its rows may be joined."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serinus.bench.messages import Arrays


@dataclasses.dataclass(frozen=True)
class Pad:
    """How a variable axis of an input is filled up: along `axis`, with `value`."""

    axis: int
    value: float


@dataclasses.dataclass(frozen=True)
class Case:
    """One model.

    Attributes:
        name: Under which it is served.
        path: Its ONNX file.
        inputs: What callers send, in turns; one row each.
        is_quick: A run takes microseconds: a thread hop would cost more.
        is_joinable: Whether calls can share a run.
        batch_axes: Batch axis by tensor name, where the model file does not suggest it; others then have none.
        padding: Input by name, where calls of different lengths may share a run.
        unpadding: Axis by output name that is as long as the padded inputs.
        max_rows: Rows that a run may have, set by hand; 0 where the server is to find out.
    """

    name: str
    path: Path
    inputs: Sequence[Arrays]
    is_quick: bool = False
    is_joinable: bool = True
    batch_axes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    padding: Mapping[str, Pad] = dataclasses.field(default_factory=dict)
    unpadding: Mapping[str, int] = dataclasses.field(default_factory=dict)
    max_rows: int = 0

    def table(self) -> str:
        """`[models.NAME]` for the configuration file of `serinus serve`."""
        lines = [f"[models.{json.dumps(self.name)}]", f"path = {json.dumps(str(self.path.resolve()))}"]
        if self.batch_axes:
            lines.append(f"batch_axes = {_inline(self.batch_axes)}")
        if self.padding:
            padding = {name: f"{{ axis = {pad.axis}, value = {pad.value:g} }}" for name, pad in self.padding.items()}
            lines.append(f"padding = {_inline(padding)}")
        if self.unpadding:
            lines.append(f"unpadding = {_inline(self.unpadding)}")
        if self.max_rows:
            lines.append(f"batching = {_inline({'max_rows': self.max_rows})}")
        return "\n".join(lines) + "\n"

    def joined(self, calls: Sequence[Arrays]) -> dict[str, npt.NDArray[Any]]:
        """The inputs of one run of several calls, filled up to the longest."""
        return {name: self._joined(name, [call[name] for call in calls]) for name in calls[0]}

    def _joined(self, name: str, arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        if self.batch_axes and name not in self.batch_axes:
            return arrays[0]
        if (pad := self.padding.get(name)) is not None:
            longest = max(array.shape[pad.axis] for array in arrays)
            arrays = [padded(array, pad, longest) for array in arrays]
        return np.concatenate(arrays, axis=self.batch_axes.get(name, 0))

    def padded_to(self, length: int) -> "Case":
        """The same with every call filled up to `length` by its caller, and nothing left to the server."""
        inputs = [
            {
                name: padded(array, self.padding[name], length) if name in self.padding else array
                for name, array in call.items()
            }
            for call in self.inputs
        ]
        return dataclasses.replace(self, inputs=inputs, padding={}, unpadding={})


def padded(array: npt.NDArray[Any], pad: Pad, length: int) -> npt.NDArray[Any]:
    """Filled up to `length` along the axis of `pad`."""
    missing = [(0, length - size if axis == pad.axis else 0) for axis, size in enumerate(array.shape)]
    return np.pad(array, missing, constant_values=pad.value)


def _inline(table: Mapping[str, object]) -> str:
    return "{ " + ", ".join(f"{json.dumps(key)} = {value}" for key, value in table.items()) + " }"
