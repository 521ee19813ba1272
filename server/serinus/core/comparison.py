"""How far two answers to the same call are apart, and when they count as the same."""

import dataclasses
from collections.abc import Mapping
from typing import assert_never

import numpy as np
import numpy.typing as npt

from serinus.core.dtypes import holds_floats
from serinus.core.predictor import Tensor, Tensors
from serinus.core.traffic import Likeness, Measure

_Wide = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """What tells two answers apart.

    Attributes:
        output: Name of the output; the first that differs.
        measure: What found it; None for what must be the same whatever the measure: shape, type, what is no float.
        number: VALUES: the difference at the worst place, an absolute one. COSINE: of the worst row. CLASS: rows of
            another class. Without a measure: elements that differ, or 0.0 where there is nothing to compare.
        sentence: All of it for a person, with the place.
    """

    output: str
    measure: Measure | None
    number: float
    sentence: str


@dataclasses.dataclass(frozen=True, slots=True)
class Furthest:
    """The place at which two float tensors exceed by most what is allowed.

    Attributes:
        where: Index of the element.
        difference: There, an absolute one.
        allowed: There.
        largest: Difference anywhere.
    """

    where: tuple[int, ...]
    difference: float
    allowed: float
    largest: float

    @property
    def is_allowed(self) -> bool:
        """Whether the tensors are close enough everywhere."""
        return self.difference <= self.allowed


def compare(
    baseline: Tensors, candidate: Tensors, likeness: Likeness, row_axes: Mapping[str, int | None]
) -> Difference | None:
    """What tells the candidate's answer from the baseline's; None if they count as the same.

    NaN is the same as NaN at the same place. Outputs that the candidate alone has are not looked at. A row of a single
    number has no direction and no class: for such outputs VALUES stands in for the other measures.

    Args:
        baseline: Tensors by output name.
        candidate: Likewise, to the same inputs.
        likeness: How float outputs are compared; others must be the same.
        row_axes: Batch axis by output name; an output that has none, or is not named, is one row.
    """
    for name, expected in baseline.items():
        got = candidate.get(name)
        if got is None:
            return Difference(name, None, 0.0, f"output {name[:64]!r} is missing")
        if got.dtype != expected.dtype or got.shape != expected.shape:
            return Difference(
                name,
                None,
                0.0,
                f"output {name[:64]!r} is {got.dtype} {list(got.shape)}, the baseline's is {expected.dtype}"
                f" {list(expected.shape)}",
            )
        if not expected.size:
            continue
        found = (
            _of_floats(name, expected, got, likeness, row_axes.get(name))
            if holds_floats(expected)
            else _of_others(name, expected, got)
        )
        if found is not None:
            return found
    return None


def _of_others(name: str, expected: Tensor, got: Tensor) -> Difference | None:
    differing = unequal(got, expected)
    if differing is None:
        return None
    count, where = differing
    return Difference(
        name,
        None,
        float(count),
        f"output {name[:64]!r}: {count} of {got.size} elements differ; at {list(where)} the baseline has"
        f" {short(expected[where])}, the candidate {short(got[where])}",
    )


def _of_floats(name: str, expected: Tensor, got: Tensor, likeness: Likeness, axis: int | None) -> Difference | None:
    rows = 1 if axis is None else expected.shape[axis]
    measure = likeness.measure if expected.size > rows else Measure.VALUES
    match measure:
        case Measure.VALUES:
            return _by_values(name, expected, got, likeness)
        case Measure.COSINE:
            return _by_cosine(name, _rows(expected, axis), _rows(got, axis), likeness)
        case Measure.CLASS:
            return _by_class(name, _rows(expected, axis), _rows(got, axis))
    assert_never(measure)


def _by_values(name: str, expected: Tensor, got: Tensor, likeness: Likeness) -> Difference | None:
    apart = furthest(got, expected, absolute=likeness.absolute, relative=likeness.relative)
    if apart.is_allowed:
        return None
    return Difference(
        name,
        Measure.VALUES,
        apart.difference,
        f"output {name[:64]!r} differs by {apart.difference:.3g} at {list(apart.where)}: the baseline has"
        f" {float(expected[apart.where]):.6g}, at most {apart.allowed:.3g} from it is allowed, the candidate has"
        f" {float(got[apart.where]):.6g}",
    )


def _by_cosine(name: str, left: _Wide, right: _Wide, likeness: Likeness) -> Difference | None:
    strange = ~(np.isfinite(left) & np.isfinite(right))
    if (strange & ~_same(left, right)).any():
        return _not_finite_alike(name, Measure.COSINE)
    similarity = cosines(np.where(strange, 0.0, left), np.where(strange, 0.0, right))
    worst = int(similarity.argmin())
    if similarity[worst] >= likeness.cosine:
        return None
    return Difference(
        name,
        Measure.COSINE,
        float(similarity[worst]),
        f"output {name[:64]!r}: the cosine of row {worst} is {similarity[worst]:.6g}, at least {likeness.cosine:g} is"
        " allowed",
    )


def _by_class(name: str, left: _Wide, right: _Wide) -> Difference | None:
    if (np.isnan(left) != np.isnan(right)).any():
        return _not_finite_alike(name, Measure.CLASS)
    expected, got = (np.where(np.isnan(rows), -np.inf, rows).argmax(axis=1) for rows in (left, right))
    differing = np.flatnonzero(expected != got)
    if not differing.size:
        return None
    row = int(differing[0])
    return Difference(
        name,
        Measure.CLASS,
        float(differing.size),
        f"output {name[:64]!r}: {differing.size} of {len(left)} rows are of another class; row {row} is of"
        f" {expected[row]} by the baseline, of {got[row]} by the candidate",
    )


def _not_finite_alike(name: str, measure: Measure) -> Difference:
    # No similarity is as low; without it a row of NaN could pass for the class that stands first.
    number = -1.0 if measure is Measure.COSINE else 1.0
    return Difference(name, measure, number, f"output {name[:64]!r} holds NaN or an infinity on one side alone")


def furthest(got: Tensor, expected: Tensor, *, absolute: float, relative: float) -> Furthest:
    """Where `got` exceeds absolute + relative * |expected| by most; both are floats of one shape, not empty.

    The same infinity or NaN on both sides is no difference; any other pair with one of them differs without bound.
    """
    wide_got, wide_expected = got.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        difference = np.abs(wide_got - wide_expected)
    difference = np.where(_same(wide_got, wide_expected), 0.0, np.where(np.isfinite(difference), difference, np.inf))
    allowed = absolute + relative * np.where(np.isfinite(wide_expected), np.abs(wide_expected), 0.0)
    where = _place(int(np.argmax(difference - allowed)), difference.shape)
    return Furthest(where, float(difference[where]), float(allowed[where]), float(difference.max()))


def unequal(got: Tensor, expected: Tensor) -> tuple[int, tuple[int, ...]] | None:
    """How many elements differ, and the first place where they do; None if none does. Both have one shape."""
    differs = np.asarray(got != expected)
    if not differs.any():
        return None
    return int(differs.sum()), _place(int(np.argmax(differs)), differs.shape)


def short(element: object) -> str:
    """One element for a sentence, however long a text it is."""
    return repr(element)[:64] if isinstance(element, bytes) else str(element)


def cosines(left: _Wide, right: _Wide) -> _Wide:
    """Cosine similarity by row of finite [rows, n]: 1 where rows are equal, zeros too; 0 where one is zero."""
    products = np.einsum("ij,ij->i", _units(left), _units(right))
    return np.where((left == right).all(axis=1), 1.0, np.minimum(products, 1.0))


def _units(rows: _Wide) -> _Wide:
    # Scaled first: the squares of large and of small numbers would leave what float64 can hold.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = rows / np.where(largest > 0, largest, 1.0)
    lengths = np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
    units: _Wide = scaled / np.where(lengths > 0, lengths, 1.0)
    return units


def _same(left: _Wide, right: _Wide) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = (left == right) | (np.isnan(left) & np.isnan(right))
    return same


def _rows(tensor: Tensor, axis: int | None) -> _Wide:
    wide = tensor.astype(np.float64)
    if axis is None:
        return wide.reshape(1, -1)
    return np.moveaxis(wide, axis, 0).reshape(wide.shape[axis], -1)


def _place(index: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(position) for position in np.unravel_index(index, shape))
