"""Which calls can share a run, and how their rows are put together and taken apart."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from serinus.core.predictor import Tensor, Tensors
from serinus.core.signature import Signature


class Joiner:
    """Joins inputs along their batch axes and splits outputs along theirs."""

    def __init__(self, signature: Signature) -> None:
        self._one_key = signature.has_one_shape
        self._axes = {spec.name: spec.batch_axis for spec in (*signature.inputs, *signature.outputs)}

    def key(self, inputs: Tensors) -> Hashable:
        """Calls with equal keys can share a run.

        The key holds each input's lengths off the batch axis; an input without a batch axis must be equal to the bit.
        """
        if self._one_key:
            return None
        return tuple([(name, *self._shape_key(name, tensor)) for name, tensor in sorted(inputs.items())])

    def _shape_key(self, name: str, tensor: Tensor) -> tuple[Hashable, ...]:
        axis = self._axes[name]
        shape = tensor.shape
        if axis is not None:
            return shape[:axis] + shape[axis + 1 :]
        if tensor.dtype.hasobject:
            return (shape, *tensor.ravel().tolist())
        return (shape, tensor.tobytes())

    def join(self, parts: Sequence[Tensors]) -> Tensors:
        """One set of inputs with the rows of all parts, in their order; all parts have the same key."""
        first = parts[0]
        if len(parts) == 1:
            return first
        return {name: self._joined(name, [part[name] for part in parts]) for name in first}

    def _joined(self, name: str, tensors: list[Tensor]) -> Tensor:
        axis = self._axes[name]
        return tensors[0] if axis is None else np.concatenate(tensors, axis)

    def rows_between(self, tensors: Tensors, start: int, stop: int) -> Tensors:
        """Views of rows `start` to `stop`; a tensor without a batch axis is handed on whole."""
        return {name: self._rows(name, tensor, start, stop) for name, tensor in tensors.items()}

    def _rows(self, name: str, tensor: Tensor, start: int, stop: int) -> Tensor:
        axis = self._axes[name]
        if axis == 0:
            return tensor[start:stop]
        if axis is None:
            return tensor
        return tensor[(slice(None),) * axis + (slice(start, stop),)]

    def split(self, outputs: Tensors, lengths: Iterable[int]) -> list[Tensors]:
        """Views of `outputs` for consecutive calls of `lengths` rows."""
        shares: list[Tensors] = []
        start = 0
        for rows in lengths:
            shares.append(self.rows_between(outputs, start, start + rows))
            start += rows
        return shares
