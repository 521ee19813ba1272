"""How long the runs of a model take whose calls choose lengths: by rows and padded length."""

import bisect
import dataclasses
from collections.abc import Iterable, Iterator

from serinus.core.run_costs import BestPoint
from serinus.runtime.costs.by_rows import OUTLIER, CostModel
from serinus.runtime.costs.grid import Grid, Measured
from serinus.runtime.costs.points import KnownCost

MOST_AGE = 16  # runs that a prediction may leave out: it is worked out anew no more often, while little is known more


class LengthCosts:
    """Seconds per run as a function of rows and length, and the best rows at each length.

    Each bucket of lengths, two to a doubling, has a `CostModel` of its own. What it does not know yet is taken from its
    neighbours. Many threads may observe at once; what a race loses is one sample.
    """

    __slots__ = ("_age", "_buckets", "_grid", "_observed")

    def __init__(self) -> None:
        self._buckets: dict[int, Measured] = {}
        self._grid = Grid(())
        self._age = 0
        self._observed = 0

    def __repr__(self) -> str:
        known = (f"{point.rows:.3g}x{point.length:.3g} {point.seconds:.3g} s" for point in self.known())
        return f"<LengthCosts [{', '.join(known)}]>"

    def known(self) -> Iterator[KnownCost]:
        """What was measured, by length and rows."""
        for _, bucket in sorted(self._buckets.copy().items()):
            for point in bucket.costs.known():
                yield KnownCost(point.rows, bucket.length, point.seconds, point.runs)

    def bests(self) -> Iterator[BestPoint]:
        """The best rows so far by length, where anybody asked for them."""
        for _, bucket in sorted(self._buckets.copy().items()):
            for best in bucket.costs.bests():
                yield dataclasses.replace(best, length=round(bucket.length))

    def observe(self, rows: int, seconds: float, length: int = 1) -> None:
        """Learn from one run of `rows` and that padded length, both at least 1, that took `seconds`."""
        bucket = self._bucket(length)
        bucket.length += (length - bucket.length) / 8.0
        bucket.costs.observe(rows, seconds)
        self._observed += 1
        self._age += 1

    def restore(self, known: KnownCost) -> None:
        """Take over what was learned before."""
        bucket = self._bucket(int(known.length))
        bucket.length = known.length
        bucket.costs.restore(dataclasses.replace(known, length=1.0))
        self._age = MOST_AGE

    def _bucket(self, length: int) -> Measured:
        key = bucket_of(length)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets.setdefault(key, Measured(float(length), CostModel()))
        return bucket

    def predict_s(self, rows: int, length: int = 1) -> float:
        """Seconds that a run of `rows` and that padded length will take; 0.0 while nothing is known."""
        if self._age and (self._age >= MOST_AGE or self._age * MOST_AGE >= self._observed):
            self._age = 0
            # The dictionary may grow meanwhile, on another thread.
            self._grid = Grid(list(_credible(bucket for _, bucket in sorted(self._buckets.copy().items()))))
        return self._grid.predict_s(rows, length)

    def best_rows(self, limit: int, length: int = 1) -> int:
        """The rows, at most `limit`, beyond which rows per second stop improving at that length.

        A length without runs begins where its nearest neighbour is.
        """
        bucket = self._buckets.get(key := bucket_of(length))
        if bucket is None:
            bucket = self._nearest(key)
        return min(2, limit) if bucket is None else bucket.costs.best_rows(limit)

    def _nearest(self, key: int) -> Measured | None:
        """The bucket that stands in for one without runs; of two as near, the longer: its runs hold fewer rows."""
        keys = sorted(self._buckets.copy())
        if not keys:
            return None
        above = bisect.bisect_left(keys, key)
        beside = keys[max(0, above - 1) : above + 1]
        return self._buckets[min(beside, key=lambda other: (abs(other - key), -other))]


def _credible(measured: Iterable[Measured]) -> Iterator[Measured]:
    """Of all lengths, ascending, those that were seen, and those learned before that can be true beside a shorter one.

    A longer row takes no less, and at worst as many times more as the square of its length.
    """
    seen: Measured | None = None
    for one in measured:
        if one.costs.runs:
            seen = one
        elif seen is not None:
            least_s, seconds = seen.costs.predict_s(1), one.costs.predict_s(1)
            if not least_s <= OUTLIER * seconds <= OUTLIER**2 * least_s * (one.length / seen.length) ** 2:
                continue
        yield one


def bucket_of(length: int) -> int:
    """The bucket of a length: 1, 2, 3, 4-5, 6-7, 8-11, 12-15 ... each have one."""
    bits = length.bit_length()
    return 2 * bits + (length >> max(0, bits - 2) & 1)
