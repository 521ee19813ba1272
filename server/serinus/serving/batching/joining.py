"""Which calls can share a run, and how their rows are put together and taken apart."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from serinus.core.errors import BadModelOutput, ModelFailed
from serinus.core.padding import Padding, joined, shortened
from serinus.core.predictor import Tensor, Tensors
from serinus.core.signature import Signature


class Joiner:
    """Joins inputs along their batch axes and splits outputs along theirs.

    Attributes:
        signature: Which axes are batch axes.
        padding: How calls of different lengths are joined; None if only calls of equal lengths are.
    """

    def __init__(self, signature: Signature, padding: Padding | None = None) -> None:
        self._padding = padding
        self._one_key = signature.has_one_shape
        self._axes = {spec.name: spec.batch_axis for spec in (*signature.inputs, *signature.outputs)}
        self._output_axes = {spec.name: spec.batch_axis if signature.is_batched else None for spec in signature.outputs}

    def key(self, inputs: Tensors) -> Hashable:
        """Calls with equal keys can share a run.

        The key holds each input's lengths off the batch axis, without those that can be padded; an input without a
        batch axis must be equal to the bit.
        """
        if self._one_key:
            return None
        if self._padding is not None and self._padding.length(inputs) is not None:
            return tuple([(name, *self._padded_key(name, tensor)) for name, tensor in sorted(inputs.items())])
        return tuple([(name, *self._shape_key(name, tensor)) for name, tensor in sorted(inputs.items())])

    def _shape_key(self, name: str, tensor: Tensor) -> tuple[Hashable, ...]:
        axis = self._axes[name]
        shape = tensor.shape
        if axis is not None:
            return shape[:axis] + shape[axis + 1 :]
        if tensor.dtype.hasobject:
            return (shape, *tensor.ravel().tolist())
        return (shape, tensor.tobytes())

    def _padded_key(self, name: str, tensor: Tensor) -> tuple[Hashable, ...]:
        fill = self._padding.fills.get(name) if self._padding is not None else None
        if fill is None:
            return self._shape_key(name, tensor)
        # None, which no length is: a call that cannot be padded shares no key with one that can.
        return tuple(
            [None if axis == fill.axis else n for axis, n in enumerate(tensor.shape) if axis != self._axes[name]]
        )

    def padded_lengths(self, parts: Sequence[Tensors]) -> list[int]:
        """How long each part is before it is padded; [] if no part has to be, because all are as long as each other."""
        padding = self._padding
        if padding is None or len(parts) == 1:
            return []
        lengths = [padding.length(part) or 0 for part in parts]
        return [] if min(lengths) == max(lengths) else lengths

    def join_padded(self, parts: Sequence[Tensors]) -> Tensors:
        """As `join`, of parts that are not equally long: each row is filled up to the longest."""
        assert self._padding is not None, "nothing says how to pad: this is a bug"
        fills = self._padding.fills
        whole: dict[str, Tensor] = {}
        for name in parts[0]:
            tensors, axis, fill = [part[name] for part in parts], self._axes[name], fills.get(name)
            whole[name] = self._joined(name, tensors) if fill is None or axis is None else joined(tensors, axis, fill)
        return whole

    def cut(self, shares: Iterable[Tensors], lengths: Sequence[int]) -> list[Tensors]:
        """Views of the outputs of calls that were padded from `lengths`, as long as they would have been alone.

        Raises:
            ModelFailed: an output is not as long as the padded inputs make others: alone, nothing needs to be cut.
        """
        assert self._padding is not None, "nothing says how to cut: this is a bug"
        cuts, longest = self._padding.cuts, max(lengths)
        found: list[Tensors] = []
        for share, length in zip(shares, lengths, strict=True):
            own = dict(share)
            for name, cut in cuts.items():
                if (tensor := own.get(name)) is None:
                    continue
                if tensor.shape[cut.axis : cut.axis + 1] != (cut.positions(longest),):
                    raise ModelFailed(f"output {name!r} is not as long as inputs of {longest} positions make it")
                own[name] = shortened(tensor, cut.axis, cut.positions(length))
            found.append(own)
        return found

    def join(self, parts: Sequence[Tensors]) -> Tensors:
        """One set of inputs with the rows of all parts, in their order; all parts have the same key and lengths."""
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

    def checked(self, outputs: Tensors, wanted: tuple[str, ...], rows: int) -> Tensors:
        """Of a run's outputs those that were `wanted`, () meaning all.

        Raises:
            BadModelOutput: one is missing, or does not have `rows` rows.
        """
        found = {}
        for name in wanted or self._output_axes:
            tensor = outputs.get(name)
            if tensor is None:
                raise BadModelOutput(f"output {name!r}: expected of the model, got none", field=name)
            axis = self._output_axes[name]
            if axis is not None and tensor.shape[axis : axis + 1] != (rows,):
                raise BadModelOutput(
                    f"output {name!r}: expected {rows} rows on axis {axis}, got shape {list(tensor.shape)}", field=name
                )
            found[name] = tensor
        return found

    def split(self, outputs: Tensors, lengths: Iterable[int]) -> list[Tensors]:
        """Views of `outputs` for consecutive calls of `lengths` rows."""
        shares: list[Tensors] = []
        start = 0
        for rows in lengths:
            shares.append(self.rows_between(outputs, start, start + rows))
            start += rows
        return shares
