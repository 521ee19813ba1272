"""How long a model's runs take, by rows, learned from the runs themselves."""

BUCKETS = 40  # bucket k holds (2**(k-1), 2**k] rows; more rows than any memory holds
OUTLIER = 4.0  # times the mean; within a bucket rows differ by a factor of 2 at most, so costs do too
SETTLED = 3  # samples of a bucket before it may speak against itself: the first ones run cold, and the lowest counts
WORTH = 1.05  # a doubling pays when rows per second grow by more than noise
STALE = 1024  # runs after which a bucket that lost is tried once more: the machine may have changed


class CostModel:
    """Seconds per run as a function of rows, and the rows beyond which rows per second stop improving.

    Each bucket of rows, powers of two, keeps a mean of rows and of seconds that forgets. Many threads may observe at
    once; what a race loses is one sample.
    """

    __slots__ = ("_best", "_best_asked", "_count", "_rows", "_seconds", "_seen", "_suspect", "_total")

    def __init__(self) -> None:
        self._rows = [0.0] * BUCKETS
        self._seconds = [0.0] * BUCKETS
        self._count = [0] * BUCKETS
        self._seen = [0] * BUCKETS
        self._suspect = [False] * BUCKETS
        self._total = 0
        self._best = 1
        self._best_asked = (-1, 0)

    def __repr__(self) -> str:
        known = (
            f"{rows:.3g} rows {seconds:.3g} s"
            for rows, seconds, count in zip(self._rows, self._seconds, self._count, strict=True)
            if count
        )
        return f"<CostModel [{', '.join(known)}]>"

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from one run of `rows`, at least 1, that took `seconds`."""
        bucket = (rows - 1).bit_length()
        self._total = self._seen[bucket] = self._total + 1
        mean = self._seconds[bucket]
        if not self._count[bucket]:
            self._count[bucket] = 1
            self._rows[bucket] = rows
            self._seconds[bucket] = seconds
            return
        weight = 0.125
        if seconds > OUTLIER * mean:
            # Noise only ever adds time: one slow run is the machine's doing, two in a row are the model's.
            if not self._suspect[bucket]:
                self._suspect[bucket] = True
                return
            weight = 0.5
        elif seconds * OUTLIER < mean:
            weight = 0.5
        elif seconds < mean and self._count[bucket] <= SETTLED:
            weight = 1.0
        self._suspect[bucket] = False
        self._count[bucket] += 1
        self._rows[bucket] += weight * (rows - self._rows[bucket])
        self._seconds[bucket] = mean + weight * (seconds - mean)

    def predict_s(self, rows: int, length: int = 1) -> float:  # noqa: ARG002 - costs by length come next
        """Seconds that a run of `rows` will take; 0.0 while nothing is known."""
        if rows < 1:
            return 0.0
        bucket = (rows - 1).bit_length()
        count, means = self._count, self._rows
        if count[bucket] and means[bucket] == rows:
            return self._seconds[bucket]
        low = bucket if count[bucket] and means[bucket] <= rows else bucket - 1
        while low >= 0 and not count[low]:
            low -= 1
        high = bucket if count[bucket] and means[bucket] > rows else bucket + 1
        while high < BUCKETS and not count[high]:
            high += 1
        # 1. between two known points; 2. above the highest; 3. below the lowest; 4. nothing known
        if low >= 0 and high < BUCKETS:
            share = (rows - means[low]) / (means[high] - means[low])
            return self._seconds[low] + share * (self._seconds[high] - self._seconds[low])
        if low >= 0:
            return self._seconds[low] * rows / means[low]
        if high < BUCKETS:
            return self._seconds[high] * rows / means[high]
        return 0.0

    def best_rows(self, limit: int, length: int = 1) -> int:  # noqa: ARG002 - costs by length come next
        """The rows, at most `limit`, beyond which more rows per run do not mean more rows per second.

        Known so far: it goes one doubling beyond what was measured while the last doubling paid.
        """
        # Asked for every call, while the answer can change with every run.
        if self._best_asked != (self._total, limit):
            self._best_asked = (self._total, limit)
            self._best = self._best_rows(limit)
        return self._best

    def _best_rows(self, limit: int) -> int:
        best = 1
        rate = self._rate(0)
        while best < limit:
            following = min(2 * best, limit)
            bucket = (following - 1).bit_length()
            if self._count[bucket] < SETTLED:
                return following
            doubled = self._rate(bucket)
            if doubled <= WORTH * rate:
                return following if self._total - self._seen[bucket] > STALE else best
            best, rate = following, doubled
        return best

    def _rate(self, bucket: int) -> float:
        """Rows per second; 0.0 while unknown."""
        return self._rows[bucket] / self._seconds[bucket] if self._seconds[bucket] else 0.0
