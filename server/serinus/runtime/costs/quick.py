"""Which runs of a model whose calls choose lengths are surely short: only such as were seen to be, again and again."""

from typing import Final

from serinus.runtime.costs.by_length import bucket_of

ENOUGH: Final = 8  # runs in a row


class QuickRuns:
    """Trusts runs no larger than some that took less than `limit_s`, each of the last ones of about that size.

    What is worked out for sizes that were not seen is good enough to plan with, but not to hold everybody up for.

    Attributes:
        limit_s: What is quick.
    """

    __slots__ = ("_limit_s", "_seen")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._seen: dict[tuple[int, int], tuple[int, int, int]] = {}  # runs, most rows, most length

    def observe(self, rows: int, seconds: float, length: int) -> None:
        """Learn from one run."""
        size = ((rows - 1).bit_length(), bucket_of(length))
        if seconds > self._limit_s:
            self._seen.pop(size, None)
            return
        runs, most_rows, most_length = self._seen.get(size, (0, 0, 0))
        self._seen[size] = (runs + 1, max(most_rows, rows), max(most_length, length))

    def is_quick(self, rows: int, length: int) -> bool:
        """Whether a run of that size is."""
        if rows < 1:
            return False
        runs, most_rows, most_length = self._seen.get(((rows - 1).bit_length(), bucket_of(length)), (0, 0, 0))
        return runs >= ENOUGH and rows <= most_rows and length <= most_length
