"""How long the runs of a model take that cost the same whatever its calls hold but rows."""

import math
from collections.abc import Iterator

from serinus.core.run_costs import BestPoint
from serinus.runtime.costs.points import KnownCost

BUCKETS = 40  # bucket k holds (2**(k-1), 2**k] rows; more rows than any memory holds
OUTLIER = 4.0  # times the mean; within a bucket rows differ by a factor of 2 at most, so costs do too
SETTLED = 3  # samples of a bucket before it may speak against itself: the first ones run cold, and the lowest counts
WORTH = 1.05  # a doubling pays when rows per second grow by more than noise
SOON, STALE = 32, 1024  # runs after which a size that lost is tried again, at first and at last: the first loss may be
# chance, the machine may have changed since
LEAST_WEIGHT = 0.125  # of a new sample among those before it
ABSENT = 24  # runs of other sizes after which a bucket's next sample weighs as much as all before it
CHANGED = 1.5  # times as fast as when a bucket lost: the machine has changed, and it did not have the same chance
TICK_S = 1e-9  # a coarse clock may say that a run took no time
AROUND_S = 1e-4  # what the event loop and a thread do for each run, whatever its rows: larger runs share it out
AT_REST = 8  # runs after which a settled answer is thought over; it would cost a quick model more than its runs


class CostModel:
    """Seconds per run as a function of rows, and the rows beyond which rows per second stop improving.

    Each bucket of rows, powers of two, keeps a mean of rows and of seconds that forgets. A run of fewer rows never
    counts for slower than one of more: whatever disturbs a run adds time. Many threads may observe at once; what a race
    loses is one sample. Lengths are taken for the sake of `LengthCosts`, which knows the difference, and ignored.
    """

    __slots__ = (
        "_asked",
        "_beside",
        "_best",
        "_best_known",
        "_best_rate",
        "_count",
        "_curve",
        "_lent",
        "_patience",
        "_rest_until",
        "_rows",
        "_seconds",
        "_seen",
        "_steady",
        "_suspect",
        "_total",
        "_tried",
        "_untested",
        "_weight",
    )

    def __init__(self) -> None:
        self._rows = [0.0] * BUCKETS
        self._seconds = [math.inf] * BUCKETS
        self._curve = [math.inf] * (BUCKETS + 1)  # the lowest of a bucket and those above it: it never falls
        self._weight = [0.5] * BUCKETS  # of the next sample
        self._count = [0] * BUCKETS
        self._lent = [0] * BUCKETS  # so many of them there never were
        self._seen = [0] * BUCKETS  # the run that was the bucket's last
        self._tried = [-STALE] * BUCKETS  # the run before which it was last asked for, to see whether it still loses
        self._patience = [SOON] * BUCKETS  # runs until it is asked for again
        self._beside = [math.inf] * BUCKETS  # rows per second of the best, when the bucket was last seen
        self._suspect = [0.0] * BUCKETS  # what an outlier took, until the next run says whether it was one
        self._steady = [False] * BUCKETS  # it has reached the least weight, and no run of it is suspect
        self._untested: tuple[int, ...] = ()  # what was learned before and not seen since
        self._total = 0
        self._best = 1
        self._best_known = 0
        self._best_rate = math.inf
        self._asked = -1
        self._rest_until = 0

    def __repr__(self) -> str:
        known = (f"{point.rows:.3g} rows {point.seconds:.3g} s" for point in self.known())
        return f"<CostModel [{', '.join(known)}]>"

    # What is known.

    def known(self) -> Iterator[KnownCost]:
        """What was measured, by rows."""
        for rows, seconds, count, lent in zip(self._rows, self._seconds, self._count, self._lent, strict=True):
            if count:
                yield KnownCost(rows, 1.0, seconds, count - lent)

    def bests(self) -> Iterator[BestPoint]:
        """The best rows so far, without trials of others; nothing before anybody asked for them."""
        if self._best_known:
            run_s = self._best_known / self._best_rate - AROUND_S  # as `known` has it
            yield BestPoint(1, self._best_known, self._best_known / run_s if run_s > 0.0 else 0.0)

    def knows(self, bucket: int) -> bool:
        """Whether some run fell into a bucket."""
        return self._count[bucket] > 0

    @property
    def runs(self) -> int:
        """Runs that were observed."""
        return self._total

    # What is learned.

    def observe(self, rows: int, seconds: float, length: int = 1) -> None:  # noqa: ARG002 - see the class
        """Learn from one run of `rows`, at least 1, that took `seconds`."""
        bucket = (rows - 1).bit_length()
        total = self._total = self._total + 1
        absent = total - self._seen[bucket] > ABSENT
        self._seen[bucket] = total
        mean = self._seconds[bucket]
        # Nearly always; what a quick model's run costs is counted in microseconds.
        if self._steady[bucket] and not absent and mean <= OUTLIER * seconds and seconds <= OUTLIER * mean:
            self._count[bucket] += 1
            self._rows[bucket] += LEAST_WEIGHT * (rows - self._rows[bucket])
            self._seconds[bucket] = mean = mean + LEAST_WEIGHT * (seconds - mean)
            curve = self._curve
            # The neighbours stay as they are if neither they nor this bucket are in each other's way.
            if mean <= curve[bucket + 1] and (not bucket or curve[bucket - 1] == self._seconds[bucket - 1] <= mean):
                curve[bucket] = mean
            else:
                self._level(bucket)
        elif self._count[bucket]:
            self._weigh(bucket, rows, seconds, mean, absent=absent)
        else:
            self._rows[bucket] = rows
            self._learn(bucket, max(seconds, TICK_S))

    def _weigh(self, bucket: int, rows: int, seconds: float, mean: float, *, absent: bool) -> None:
        """Learn from a run that is no run like the others, or of a size of which there were few lately."""
        seconds = max(seconds, TICK_S)
        weight = 0.5 if absent else self._weight[bucket]
        tells_of_others = weight == LEAST_WEIGHT  # nothing new was to be expected of it
        if seconds > OUTLIER * mean:
            # Noise only ever adds time: one slow run is the machine's doing, two in a row are the model's.
            if not self._suspect[bucket]:
                self._suspect[bucket], self._steady[bucket] = seconds, False
                return
            weight, seconds = 1.0, min(seconds, self._suspect[bucket])
            if tells_of_others:
                self._change_pace(bucket, seconds / mean)
        elif seconds * OUTLIER < mean:
            weight = 1.0
            if tells_of_others:
                self._change_pace(bucket, seconds / mean)
        elif seconds < mean and (absent or self._count[bucket] <= SETTLED):
            weight = 1.0  # the first ones run cold
        if weight < 1.0:
            # 1/2, 1/3, 1/4 ...: a plain mean, until it is time to forget.
            self._weight[bucket] = max(LEAST_WEIGHT, weight / (1.0 + weight))
            self._steady[bucket] = self._weight[bucket] == LEAST_WEIGHT
        self._suspect[bucket] = 0.0
        self._rows[bucket] += weight * (rows - self._rows[bucket])
        self._learn(bucket, mean + weight * (seconds - mean))
        if self._untested and self._steady[bucket]:
            self._doubt(bucket)

    def _learn(self, bucket: int, seconds: float) -> None:
        self._count[bucket] += 1
        self._beside[bucket] = self._best_rate
        self._seconds[bucket] = seconds
        self._level(bucket)

    def _level(self, bucket: int) -> None:
        """Let no bucket count for slower than one above it, now that one has changed."""
        own, curve = self._seconds, self._curve
        curve[bucket] = floor = min(own[bucket], curve[bucket + 1])
        while bucket:
            bucket -= 1
            floor = min(own[bucket], floor)
            if curve[bucket] == floor:
                return
            curve[bucket] = floor

    def _doubt(self, bucket: int) -> None:
        """Forget what was learned before of more rows, and cannot be true beside what is seen of this bucket.

        What speaks for no run that ever comes would never be seen to be wrong.
        """
        self._untested = tuple([other for other in self._untested if not self._seen[other]])
        seconds, rows = self._seconds[bucket], self._rows[bucket]
        for other in self._untested:
            most_s = OUTLIER * seconds * self._rows[other] / rows
            if other > bucket and not seconds <= OUTLIER * self._seconds[other] <= OUTLIER * most_s:
                self._count[other] = self._lent[other] = 0
                self._seconds[other] = math.inf
        self._level_all()

    def _change_pace(self, bucket: int, ratio: float) -> None:
        """Expect of all other buckets what became of one, which is so many times as slow: it is the same machine.

        Else the largest would be tried in turn, since what was learned before speaks for each.
        """
        for other, seconds in enumerate(self._seconds):
            if other != bucket:
                self._seconds[other] = seconds * ratio
                self._weight[other], self._steady[other] = 0.5, False
                self._patience[other] = 1  # it is a guess
        self._level_all()

    def _level_all(self) -> None:
        floor = math.inf
        for other in range(BUCKETS - 1, -1, -1):
            self._curve[other] = floor = min(floor, self._seconds[other])

    def restore(self, known: KnownCost) -> None:
        """Take over what was learned before: it speaks at once, and gives way to the first runs that say otherwise."""
        if known.length != 1.0:
            return  # calls chose lengths then
        bucket = (math.ceil(known.rows) - 1).bit_length()
        self._rows[bucket] = known.rows
        self._lent[bucket] = max(0, SETTLED - known.runs)
        self._count[bucket] = known.runs + self._lent[bucket] - 1
        self._learn(bucket, known.seconds)
        self._untested = (*self._untested, bucket)

    # What is asked.

    def predict_s(self, rows: int, length: int = 1) -> float:  # noqa: ARG002 - see the class
        """Seconds that a run of `rows` will take; 0.0 while nothing is known."""
        if rows < 1:
            return 0.0
        bucket = (rows - 1).bit_length()
        count, means = self._count, self._rows
        if count[bucket] and means[bucket] == rows:
            return self._curve[bucket]
        low = bucket if count[bucket] and means[bucket] <= rows else bucket - 1
        while low >= 0 and not count[low]:
            low -= 1
        high = bucket if count[bucket] and means[bucket] > rows else bucket + 1
        while high < BUCKETS and not count[high]:
            high += 1
        # 1. between two known points; 2. above the highest; 3. below the lowest; 4. nothing known
        curve = self._curve
        if low >= 0 and high < BUCKETS:
            share = (rows - means[low]) / (means[high] - means[low])
            return curve[low] + share * (curve[high] - curve[low])
        if low >= 0:
            return curve[low] * rows / means[low]
        if high < BUCKETS:
            return curve[high] * rows / means[high]
        return 0.0

    def best_rows(self, limit: int, length: int = 1) -> int:  # noqa: ARG002 - see the class
        """The rows, at most `limit`, beyond which more rows per run do not mean more rows per second.

        Known so far: it goes one doubling beyond what was measured while the last doubling paid, and looks again now
        and then at the sizes beside the best: in the end for one run out of about 500.
        """
        # Asked for every call, while the answer seldom changes.
        if limit != self._asked or self._total >= self._rest_until:
            self._asked = limit
            self._best, rest = self._thought_over(limit)
            self._rest_until = self._total + rest
        return self._best

    def _thought_over(self, limit: int) -> tuple[int, int]:
        """The best rows, and for how many runs that may stand."""
        best, best_bucket, size, below = 1, 0, 1, 0
        rate = self._rate(0)
        while size < limit:
            size = min(2 * size, limit)
            bucket = (size - 1).bit_length()
            if self._count[bucket] < SETTLED:
                # Calls of several rows leave the sizes below theirs without samples for ever.
                if any(count >= SETTLED for count in self._count[bucket + 1 : (limit - 1).bit_length() + 1]):
                    continue
                self._best_known, self._best_rate = best, rate or math.inf
                return size, 1
            doubled = self._rate(bucket)
            if doubled <= WORTH * rate:
                self._best_known, self._best_rate = best, rate
                if self._is_due(bucket) or rate > CHANGED * self._beside[bucket]:
                    return self._trial(size, bucket)
                break
            below, best, best_bucket, rate = best, size, bucket, doubled
        self._best_known, self._best_rate = best, rate or math.inf
        self._patience[best_bucket] = SOON
        if best > 1:
            smaller = max(below, best // 2)
            if (smaller - 1).bit_length() < best_bucket and self._is_due((smaller - 1).bit_length()):
                return self._trial(smaller, (smaller - 1).bit_length())
        return best, AT_REST if self._count[best_bucket] > AT_REST else 1

    def _is_due(self, bucket: int) -> bool:
        return (
            self._total - max(self._seen[bucket] if self._count[bucket] else -STALE, self._tried[bucket])
            > self._patience[bucket]
        )

    def _trial(self, rows: int, bucket: int) -> tuple[int, int]:
        self._tried[bucket] = self._total
        self._patience[bucket] = min(STALE, 2 * self._patience[bucket])
        self._beside[bucket] = self._best_rate
        return rows, max(1, SETTLED - self._count[bucket])

    def _rate(self, bucket: int) -> float:
        """Rows per second of such runs, with what the server does around each; 0.0 while unknown."""
        return self._rows[bucket] / (self._curve[bucket] + AROUND_S) if self._count[bucket] else 0.0
