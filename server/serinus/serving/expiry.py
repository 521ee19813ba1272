"""Ends the calls that have waited too long, on time, while runs are under way."""

import asyncio

from serinus.core.errors import DeadlinePassed, Overloaded
from serinus.serving.batch_queue import Entry

_NEVER = float("inf")


class Expiry:
    """Watches entries with one timer, set for the earliest of their limits.

    A timer per call would cost more than the rest of the batcher: most calls are answered long before their limit.
    So the timer may find that the entry it was set for has gone; then it looks for the next.

    Attributes:
        loop: The event loop whose time the deadlines are in.
        queue_timeout_s: Longest wait for a run, or None.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, queue_timeout_s: float | None) -> None:
        self._loop = loop
        self._queue_timeout_s = queue_timeout_s
        self._watched: set[Entry] = set()
        self._due = _NEVER
        self._timer: asyncio.TimerHandle | None = None

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

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = when
        self._timer = None if when == _NEVER else self._loop.call_at(when, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        due = _NEVER
        for entry in self._watched:
            if entry.answer.done():
                continue
            limit = self._limit(entry)
            if limit > now:
                due = min(due, limit)
            else:
                entry.fail(self._reason(entry, now))
        self._set(due)

    def _reason(self, entry: Entry, now: float) -> Exception:
        waited_s = now - entry.since
        if entry.request.deadline <= now:
            return DeadlinePassed(f"no answer within {waited_s:.3f} s")
        return Overloaded(
            f"waited {waited_s:.3f} s for a run, the limit is {self._queue_timeout_s} s",
            reason="QUEUE_TIMEOUT",
            retry_after_s=waited_s,
        )
