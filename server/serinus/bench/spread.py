"""A figure of several repeats: the median, and the range that they cover."""

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """One figure, once for each repeat.

    With three to five repeats the range says more than an interval that assumes a distribution.

    Attributes:
        values: In the order of the repeats; at least one.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values: expected at least one")

    @classmethod
    def of(cls, runs: Iterable[T], figure: Callable[[T], float]) -> "Spread":
        """A figure of each run."""
        return cls(tuple(figure(run) for run in runs))

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The smallest."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest."""
        return max(self.values)

    def over(self, other: "Spread") -> "Spread":
        """The ratio within each repeat: what slowed the machine down for a while slowed both."""
        return Spread(tuple(mine / theirs for mine, theirs in zip(self.values, other.values, strict=True)))

    def __format__(self, spec: str) -> str:
        """The median, and the range where there is one: "1.24 (1.18 to 1.31)"."""
        if len(self.values) == 1:
            return format(self.median, spec)
        return f"{self.median:{spec}} ({self.low:{spec}} to {self.high:{spec}})"

    def __str__(self) -> str:
        return format(self, ".3g")


def medians(repeats: Sequence[Sequence[T]], figure: Callable[[T], float]) -> list[float]:
    """The median of a figure over repeats of several settings: `repeats[i][j]` is repeat i of setting j."""
    return [statistics.median(figure(run) for run in runs) for runs in zip(*repeats, strict=True)]
