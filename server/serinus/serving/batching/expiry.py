"""Ends the calls that have waited too long, on time, while runs are under way."""

import asyncio
from collections.abc import Callable, Sequence

from serinus.core.errors import Overloaded
from serinus.serving.batching.batch_queue import Entry

_NEVER = float("inf")
# One look goes through all entries. In a crowd whose limits differ by less, a look for each would be quadratic.
_GRAIN_S = 0.001

EDGE = 1.2
"""Times its predicted length a run is taken to last while others wait: who is at the edge is late half the time."""


def in_time(batch: Sequence[Entry], end: float) -> Sequence[Entry]:
    """Of a batch that would be answered at `end`, those who can wait so long; the others are refused here and now.

    Their rows would run for nothing, and in the place of others'.
    """
    if min([entry.request.deadline for entry in batch], default=end) >= end:
        return batch
    for entry in batch:
        late_s = end - entry.request.deadline
        if late_s > 0:
            entry.fail(
                Overloaded(
                    f"its run was predicted to end {late_s:.3f} s after its deadline",
                    reason="TOO_LATE",
                    retry_after_s=late_s,
                )
            )
    return [entry for entry in batch if not entry.answer.done()]


class Expiry:
    """Watches entries with one timer, set for the earliest of their limits.

    A timer per call would cost more than the rest of the batcher: most calls are answered long before their limit.
    So the timer may find that the entry it was set for has gone; then it looks for the next. A call ends at most a
    millisecond after its limit, and what the loop's timer adds.

    Attributes:
        loop: Whose timer is used.
        clock: Time of that loop in seconds, in which the deadlines are.
        queue_timeout_s: Longest wait for a run, or None.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], queue_timeout_s: float | None
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._queue_timeout_s = queue_timeout_s
        self._watched: set[Entry] = set()
        self._due = _NEVER
        self._looked = -_NEVER
        self._timer: asyncio.TimerHandle | None = None

    @property
    def watched(self) -> int:
        """Calls that have not left."""
        return len(self._watched)

    def watch(self, entry: Entry) -> None:
        """End `entry` when its time is over, waiting or running."""
        self._watched.add(entry)
        limit = self._limit(entry)
        if limit < self._due:
            self._set(limit)

    def forget(self, entry: Entry) -> None:
        """Stop watching."""
        self._watched.discard(entry)

    def close(self) -> None:
        """Stop the timer."""
        self._set(_NEVER)

    def _limit(self, entry: Entry) -> float:
        deadline = entry.request.deadline
        if self._queue_timeout_s is None or not entry.is_waiting:
            return deadline
        return min(deadline, entry.since + self._queue_timeout_s)

    def _set(self, limit: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = max(limit, self._looked + _GRAIN_S)
        self._timer = None if limit == _NEVER else self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        now = self._looked = self._clock()
        due = _NEVER
        for entry in self._watched:
            if entry.is_over(now):
                continue
            limit = self._limit(entry)
            if limit > now:
                due = min(due, limit)
            else:
                entry.fail(self._waited_too_long(now - entry.since))
        self._set(due)

    def _waited_too_long(self, waited_s: float) -> Overloaded:
        return Overloaded(
            f"waited {waited_s:.3f} s for a run, the limit is {self._queue_timeout_s} s",
            reason="QUEUE_TIMEOUT",
            retry_after_s=waited_s,
        )

    def __repr__(self) -> str:
        return f"<Expiry {len(self._watched)} watched>"
