"""Proves, before anybody is served, that rows which were padded give what they give alone."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np

from serinus.core.dtypes import DType
from serinus.core.errors import BadModelOutput, ModelFailed
from serinus.core.padding import Cut, Padding, joined, shortened
from serinus.core.predictor import Tensor, Tensors
from serinus.core.signature import Signature, TensorSpec
from serinus.runtime.agreement import agree
from serinus.runtime.padding_declared import DeclaredPadding, contradiction
from serinus.runtime.synthetic import synthetic_row

# Three lengths each: the first for most models; samples of sound; short memories; what must be a multiple of 32.
_LENGTHS = ((64, 37, 23), (512, 307, 193), (16, 11, 5), (256, 160, 96))
_OTHER_LENGTHS = (8, 32, 64, 512)  # of axes that are open and not padded
_FEW, _MANY = 2, 90  # integers below: what each model takes, masks too; what tells tokens apart

Run = Callable[[Tensors, int], Tensors]
"""Outputs for inputs of that many rows; raises ModelFailed or BadModelOutput."""

Make = Callable[[int, float], Tensors]
"""A row of that length; its fractions lie below the filling (-1), above it (1), or on both sides of it (0)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Proof:
    """What came of it.

    Attributes:
        padding: What was proven; None if it failed, or was not possible.
        note: Why; "" if it was proven.
    """

    padding: Padding | None
    note: str = ""


class _Disproof(Exception):
    """Says why rows must not be padded."""


def prove_padding(signature: Signature, declared: DeclaredPadding, run: Run, samples: Tensors) -> Proof:
    """Run rows of different lengths alone and padded together, and compare.

    They agree within `runtime.agreement`. Several kinds of values are tried, that a leak may not hide behind one;
    those that the model does not take prove nothing.

    Args:
        signature: What the model takes and gives; it can be joined.
        declared: What is to be proven; at least one input is filled.
        run: Runs the model.
        samples: Inputs that the operator gives as an example, by name.
    """
    if reason := contradiction(signature, declared):
        return Proof(None, f"calls are not padded: {reason}")
    others = _OTHER_LENGTHS if _has_other_lengths(signature, declared) else _OTHER_LENGTHS[:1]
    try:
        for lengths in _LENGTHS:
            for other in others:
                padding = _Trial(signature, declared, run, samples, other).prove(lengths)
                if padding is not None:
                    return Proof(padding)
    except (_Disproof, BadModelOutput) as error:
        return Proof(None, f"calls are not padded: {error}")
    return Proof(None, "calls are not padded: no inputs were found that the model takes in several lengths")


def _has_other_lengths(signature: Signature, declared: DeclaredPadding) -> bool:
    padded = {(name, fill.axis) for name, fill in declared.fills.items()}
    return any((name, axis) not in padded for name, axes in signature.open_axes for axis in axes)


class _Trial:
    """One attempt, with inputs whose axes that are open and not padded have the length `other`."""

    def __init__(self, signature: Signature, declared: DeclaredPadding, run: Run, samples: Tensors, other: int) -> None:
        self._signature = signature
        self._declared = declared
        self._run = run
        self._samples = samples
        self._other = other
        # Always the same values: a model that passes once passes at every start.
        self._rng = np.random.default_rng(0)

    def prove(self, lengths: Sequence[int]) -> Padding | None:
        """The padding; None if the model fails on all rows. Raises _Disproof."""
        proven: Padding | None = None
        for trial_lengths, make in self._kinds(lengths):
            step = 1 if proven is None else proven.step
            try:
                found = self._compare([length // step * step for length in trial_lengths], make)
            except ModelFailed:
                continue
            if found is None:
                continue
            if proven is not None and found != proven:
                raise _Disproof("how long an output is depends on more than on how long the inputs are")
            proven = found
        return proven

    def _kinds(self, lengths: Sequence[int]) -> Iterator[tuple[Sequence[int], Make]]:
        """Rows with few integers, with many in one input or another, and those of the samples."""
        yield lengths, functools.partial(self._row, {})
        for name in self._declared.fills:
            dtype = self._signature.input[name].dtype
            if not dtype.is_float and dtype is not DType.BOOL:
                yield lengths, functools.partial(self._row, {name: _MANY})
        fills = self._declared.fills.items()
        if all(name in self._samples for name, _ in fills):
            most = min(self._samples[name].shape[fill.axis] for name, fill in fills)
            yield [most * length // lengths[0] for length in lengths], self._sample_row

    def _row(self, most: Mapping[str, int], length: int, side: float) -> Tensors:
        """An invented row: integers from 0 to below `most`, fractions below the filling, above it or on both sides."""
        rng = self._rng
        row = dict(synthetic_row(self._signature, row=0, length=self._other, samples=self._samples, rng=rng))
        for name, fill in self._declared.fills.items():
            if name not in row:
                continue
            shape = list(row[name].shape)
            shape[fill.axis] = length
            # A mask below its filling would say that what was added counts more than what was there.
            row_side = 1.0 if "mask" in name.lower() else side
            dtype = self._signature.input[name].dtype
            row[name] = _values(dtype, shape, fill.value, row_side, most.get(name, _FEW), rng)
        return row

    def _sample_row(self, length: int, _side: float) -> Tensors:
        row = dict(synthetic_row(self._signature, row=0, length=self._other, samples=self._samples, rng=self._rng))
        return row | {name: shortened(row[name], fill.axis, length) for name, fill in self._declared.fills.items()}

    def _compare(self, lengths: Sequence[int], make: Make) -> Padding | None:
        """What holds for these rows; None if they are too short to tell."""
        if not lengths[0]:
            return None
        longest = self._run(make(lengths[0], 0.0), 1)
        cuts = {name: self._cut(name, axis, longest[name], lengths[0]) for name, axis in self._declared.cuts.items()}
        padding = Padding(self._declared.fills, cuts)
        lengths = [max(1, length // padding.step) * padding.step for length in lengths]
        if min(lengths) == max(lengths):
            return None
        rows = [make(length, side) for length, side in zip(lengths, (0.0, -1.0, 1.0), strict=True)]
        alone = [self._run(row, 1) for row in rows]
        together = {name: self._together(name, [row[name] for row in rows]) for name in rows[0]}
        try:
            outputs = self._run(together, len(rows))
        except ModelFailed as error:
            raise _Disproof("the model fails on rows that were padded") from error
        for spec in self._signature.outputs:
            _compare_output(spec, padding, lengths, outputs[spec.name], [each[spec.name] for each in alone])
        return padding

    def _cut(self, name: str, axis: int, output: Tensor, length: int) -> Cut:
        positions = output.shape[axis]
        if not positions:
            raise _Disproof(f"the output {name!r} has no positions where the inputs have {length}")
        return Cut(axis, Fraction(positions, length))

    def _together(self, name: str, tensors: Sequence[Tensor]) -> Tensor:
        axis, fill = self._signature.input[name].batch_axis, self._declared.fills.get(name)
        if axis is None:
            return tensors[0]
        return np.concatenate(tensors, axis) if fill is None else joined(tensors, axis, fill)


def _compare_output(
    spec: TensorSpec, padding: Padding, lengths: Sequence[int], output: Tensor, alone: Sequence[Tensor]
) -> None:
    axis, cut = spec.batch_axis, padding.cuts.get(spec.name)
    assert axis is not None, "only models whose outputs all have rows are joined: this is a bug"
    shares = [np.take(output, [index], axis) for index in range(len(lengths))]
    if cut is not None:
        shares = [shortened(one, cut.axis, cut.positions(n)) for one, n in zip(shares, lengths, strict=True)]
    for share, one in zip(shares, alone, strict=True):
        if share.shape != one.shape:
            raise _Disproof(
                f"the output {spec.name!r} of a row has the shape {list(one.shape)} alone, and {list(share.shape)} in a"
                " padded run: it is not said how it is cut, or not a constant share of the inputs' length"
            )
    if not agree(spec, shares, alone):
        raise _Disproof(f"the output {spec.name!r} of a row depends on how far it is padded")
    if spec.dtype.is_float and all(np.isfinite(one).all() for one in alone) and not np.isfinite(output).all():
        raise _Disproof(f"the output {spec.name!r} is not finite where rows were padded")


def _values(
    dtype: DType, shape: Sequence[int], filling: float, side: float, most: int, rng: np.random.Generator
) -> Tensor:
    """Values that are not the filling: with it among them, a maximum over all positions would hide a leak."""
    if dtype.is_float:
        signs = np.full(shape, side) if side else rng.choice([-1.0, 1.0], shape)
        return (filling + signs * rng.uniform(0.1, 1.0, shape)).astype(dtype.numpy)
    return rng.choice([number for number in range(most) if number != filling], shape).astype(dtype.numpy)
