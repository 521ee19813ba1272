"""Decides what the next message holds: everything that waits, up to the limits of one message."""

from collections.abc import Iterable, Iterator

from serinus_client.options import MOST_CALLS, FrameLimits
from serinus_client.pending import Pending


class Outbox:
    """Calls that wait to be written, and ids to cancel, oldest first.

    Its bound is its callers: each call in it has one that waits, with a deadline.
    """

    __slots__ = ("_cancels", "_limits", "_waiting")

    def __init__(self, limits: FrameLimits) -> None:
        self._limits = limits
        self._waiting: dict[int, Pending] = {}
        self._cancels: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._waiting or self._cancels)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._waiting.values())

    def put(self, call: Pending) -> None:
        """A call waits from now on."""
        self._waiting[call.id] = call

    def put_back(self, calls: Iterable[Pending]) -> None:
        """Calls that were taken and never sent wait again, before all others."""
        self._waiting = {call.id: call for call in calls} | self._waiting

    def drop(self, call: Pending) -> bool:
        """Take a call out that nobody waits for; whether it was still here."""
        return self._waiting.pop(call.id, None) is not None

    def cancel(self, call_id: int) -> None:
        """Tell the server that a call which was sent is no longer wanted."""
        self._cancels.append(call_id)

    def forget_cancels(self) -> None:
        """The stream that they were meant for is gone."""
        self._cancels.clear()

    def take(self) -> tuple[list[Pending], list[int]]:
        """Remove and return the calls and cancellations of the next message: at least one, if any wait."""
        cancels, self._cancels = self._cancels[:MOST_CALLS], self._cancels[MOST_CALLS:]
        limit_calls, limit_bytes = self._limits.calls, self._limits.size_bytes
        taken: list[Pending] = []
        size_bytes = 0
        for call in self._waiting.values():
            if call.is_over:  # its caller was cancelled a moment ago, and has not come by to drop it
                continue
            size_bytes += call.size_bytes
            if taken and (size_bytes > limit_bytes or len(taken) >= limit_calls):
                break
            taken.append(call)
        else:
            self._waiting.clear()
            return taken, cancels
        for call in taken:
            del self._waiting[call.id]
        return taken, cancels
