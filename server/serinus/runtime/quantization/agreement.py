"""Says how far the answers of a quantized model are from those of the float model. Pure."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from serinus.core.comparison import cosines
from serinus.core.dtypes import holds_floats
from serinus.core.predictor import Tensor, Tensors

_Wide = npt.NDArray[np.float64]


class Incomparable(Exception):
    """The answers cannot stand for each other at all; the text is a sentence about the quantized model."""


@dataclasses.dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two models answer the same rows.

    Attributes:
        argmax_agreement: Share of rows in which the largest element of every float output is at the same place, and
            every other output is the same.
        min_cosine: Smallest cosine similarity over rows and float outputs. Outputs of a single element in each row
            are compared as one vector over all rows, because the cosine of single numbers says nothing.
        max_absolute_difference: Largest difference of any float output.
    """

    argmax_agreement: float
    min_cosine: float
    max_absolute_difference: float

    def worst(self, other: "Agreement") -> "Agreement":
        """The worse of each number."""
        return Agreement(
            min(self.argmax_agreement, other.argmax_agreement),
            min(self.min_cosine, other.min_cosine),
            max(self.max_absolute_difference, other.max_absolute_difference),
        )


PERFECT = Agreement(1.0, 1.0, 0.0)


def compare(expected: Sequence[Tensors], got: Sequence[Tensors]) -> Agreement:
    """How alike the answers are.

    Args:
        expected: Outputs of the float model by name, row by row; at least one row.
        got: Those of the quantized model for the same rows.

    Raises:
        Incomparable: an output has another shape or type, or holds NaN or an infinity where the float model's does not.
    """
    same = 0
    min_cosine, max_difference = 1.0, 0.0
    single: dict[str, list[tuple[float, float]]] = {}
    for wanted_row, got_row in zip(expected, got, strict=True):
        row_is_same = True
        for name, wanted in wanted_row.items():
            other = got_row[name]
            _check(name, wanted, other)
            if not holds_floats(wanted):
                row_is_same &= bool(np.array_equal(wanted, other))
                continue
            left, right = _wide(name, wanted, other)
            if not left.size:
                continue
            row_is_same &= int(left.argmax()) == int(right.argmax())
            max_difference = max(max_difference, float(np.abs(left - right).max()))
            if left.size == 1:
                single.setdefault(name, []).append((float(left[0]), float(right[0])))
            else:
                min_cosine = min(min_cosine, _cosine(left, right))
        same += row_is_same
    return Agreement(same / len(expected), min(min_cosine, _single_cosine(single)), max_difference)


def _check(name: str, wanted: Tensor, got: Tensor) -> None:
    if wanted.dtype != got.dtype or wanted.shape != got.shape:
        raise Incomparable(
            f"its output {name[:64]!r} is {got.dtype} {list(got.shape)} where the float model's is"
            f" {wanted.dtype} {list(wanted.shape)}"
        )


def _wide(name: str, wanted: Tensor, got: Tensor) -> tuple[_Wide, _Wide]:
    """Both as vectors; what is not finite in the float model's answer counts for nothing."""
    left, right = wanted.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    finite = np.isfinite(left)
    if not np.isfinite(right[finite]).all():
        raise Incomparable(f"its output {name[:64]!r} holds NaN or an infinity where the float model's does not")
    return np.where(finite, left, 0.0), np.where(finite, right, 0.0)


def _cosine(left: _Wide, right: _Wide) -> float:
    return float(cosines(left[np.newaxis], right[np.newaxis])[0])


def _single_cosine(single: Mapping[str, Sequence[tuple[float, float]]]) -> float:
    columns = (np.asarray(pairs, np.float64) for pairs in single.values())
    return min((_cosine(column[:, 0], column[:, 1]) for column in columns), default=1.0)
