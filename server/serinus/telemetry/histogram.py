"""How durations are kept: a count per log-spaced bucket, cheap to add to, exact to merge, readable as percentiles."""

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

_SHORTEST_S = 1e-6
_DOUBLINGS = 27
BUCKETS_PER_DOUBLING: Final = 4
BOUNDS_S: Final[tuple[float, ...]] = tuple(
    _SHORTEST_S * 2 ** (step / BUCKETS_PER_DOUBLING) for step in range(_DOUBLINGS * BUCKETS_PER_DOUBLING + 1)
)
"""Upper bounds in seconds, each inclusive: 1 µs to 134 s, four to a doubling, so that a quantile is within 19 %."""

_INFINITE = float("inf")


class Histogram:
    """Durations in seconds, counted by bucket.

    One thread writes, the event loop's; any thread may read. Plain integers in a list, because one element at a time is
    incremented: a numpy array would take several times as long.

    Attributes:
        counts: Observations per bucket, not cumulative; the last bucket has no upper bound.
        sum_s: Sum of the observations.
    """

    __slots__ = ("counts", "sum_s")

    bounds_s: Final = BOUNDS_S

    def __init__(self) -> None:
        self.counts: list[int] = [0] * (len(BOUNDS_S) + 1)
        self.sum_s: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration. A clock that went backwards or gave NaN counts as 0: measuring never fails a call."""
        if 0.0 < seconds < _INFINITE:
            self.sum_s += seconds
            self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        else:
            # NaN compares false and lands in the first bucket, infinity in the last; neither may touch the sum.
            self.counts[-1 if seconds > 0.0 else 0] += 1

    @property
    def count(self) -> int:
        """Observations so far."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """The duration in seconds that a share `q` of the observations did not exceed; see `quantile_of`."""
        return quantile_of(self.counts, q)


def quantile_of(counts: Sequence[int], q: float) -> float:
    """The `q` quantile (0 to 1) of bucket counts, in seconds; 0.0 when there are none.

    Works on differences of two readings too, which is how a live view shows the last seconds. Within a bucket the value
    is interpolated geometrically, as the buckets are spaced; what lies above the last bound is reported as that bound.
    """
    total = sum(counts)
    if total == 0:
        return 0.0
    rank = min(max(q, 0.0), 1.0) * total
    for index, (count, below) in enumerate(zip(counts, itertools.accumulate(counts, initial=0), strict=False)):
        if count and below + count >= rank:
            return _within(index, (rank - below) / count)
    raise AssertionError("ranks end at the total; this is a bug")


def _within(index: int, share: float) -> float:
    if index == 0:
        return BOUNDS_S[0] * share
    if index == len(BOUNDS_S):
        return BOUNDS_S[-1]
    low, high = BOUNDS_S[index - 1], BOUNDS_S[index]
    return float(low * (high / low) ** share)
