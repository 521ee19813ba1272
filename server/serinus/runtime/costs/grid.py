"""Fills the gaps between what was measured: seconds at every number of rows and every length, rising with both."""

import bisect
import dataclasses
from collections.abc import Sequence

from serinus.runtime.costs.by_rows import BUCKETS, CostModel


@dataclasses.dataclass(slots=True)
class Measured:
    """What the runs of about one length took.

    Attributes:
        length: Mean of the recent runs.
        costs: By rows.
    """

    length: float
    costs: CostModel


class Grid:
    """Seconds by rows and length, as they stood when it was made.

    Rows that were not seen at a length cost as many times what others cost as they do at the nearest length where both
    were seen. Between lengths costs follow a line, beyond them they are proportional.

    Args:
        measured: By length, ascending; each with some run.
    """

    def __init__(self, measured: Sequence[Measured]) -> None:
        spans = [_span(one.costs) for one in measured]
        known = [(one, span) for one, span in zip(measured, spans, strict=True) if span is not None]
        highest = max((span[1] for _, span in known), default=-1)
        self._spans = [span for _, span in known]
        self._lengths = [one.length for one, _ in known]
        # By length, then by the power of two that the rows are.
        self._seconds = [[one.costs.predict_s(1 << bucket) for bucket in range(highest + 1)] for one, _ in known]
        self._seconds = [self._completed(index) for index in range(len(known))]
        self._level(highest)

    def _completed(self, index: int) -> list[float]:
        """The costs at one length, with its neighbours' shape where it has none of its own."""
        seconds = self._seconds[index][:]
        low, high = self._spans[index]
        near = sorted(range(len(self._spans)), key=lambda other: abs(other - index))
        for bucket in (*range(low), *range(high + 1, len(seconds))):
            first, last = (bucket, low) if bucket < low else (high, bucket)
            for other in near:
                if self._spans[other][0] <= first and last <= self._spans[other][1]:
                    theirs, anchor = self._seconds[other], low if bucket < low else high
                    seconds[bucket] = seconds[anchor] * theirs[bucket] / theirs[anchor]
                    break
        return seconds

    def _level(self, highest: int) -> None:
        """Let no cost be above one of more rows or of more length: noise adds time, and never takes any away."""
        seconds = self._seconds
        for row in seconds:
            for bucket in range(highest - 1, -1, -1):
                row[bucket] = min(row[bucket], row[bucket + 1])
        for row, longer in zip(reversed(seconds[:-1]), reversed(seconds[1:]), strict=True):
            row[:] = map(min, row, longer)

    def predict_s(self, rows: int, length: int) -> float:
        """Seconds of a run; 0.0 where nothing was measured."""
        lengths = self._lengths
        if rows < 1 or not lengths:
            return 0.0
        at = bisect.bisect_left(lengths, length)
        # 1. beyond the longest; 2. a length that was measured, or below the shortest; 3. between two
        if at == len(lengths):
            return self._of_rows(at - 1, rows) * length / lengths[-1]
        if lengths[at] == length or not at:
            return self._of_rows(at, rows) * length / lengths[at]
        share = (length - lengths[at - 1]) / (lengths[at] - lengths[at - 1])
        shorter = self._of_rows(at - 1, rows)
        return shorter + share * (self._of_rows(at, rows) - shorter)

    def _of_rows(self, at: int, rows: int) -> float:
        seconds = self._seconds[at]
        low = rows.bit_length() - 1
        if low >= len(seconds) - 1:
            return seconds[-1] * rows / (1 << len(seconds) - 1)
        base = 1 << low
        return seconds[low] + (rows - base) / base * (seconds[low + 1] - seconds[low])


def _span(costs: CostModel) -> tuple[int, int] | None:
    """The lowest and the highest bucket of rows that were seen; None without runs."""
    seen = [bucket for bucket in range(BUCKETS) if costs.knows(bucket)]
    return (seen[0], seen[-1]) if seen else None
