"""Which calls' time is up: one heap for all of them, so that one timer serves however many calls."""

import heapq

from serinus_client.pending import Pending

_STALE_MIN = 64


class Deadlines:
    """The deadlines of open calls, earliest first.

    Calls that are over leave lazily: they are swept out when they are the majority, so that a call costs O(log open)
    however long its deadline was.
    """

    __slots__ = ("_heap", "_stale")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Pending]] = []
        self._stale = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, call: Pending) -> None:
        """A call begins to wait."""
        heapq.heappush(self._heap, (call.deadline, call.id, call))

    def count_over(self) -> None:
        """One of the calls is over (`Pending.is_over`)."""
        self._stale += 1
        if self._stale > _STALE_MIN and self._stale * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[2].is_over]
            heapq.heapify(self._heap)
            self._stale = 0

    def take_expired(self, now: float) -> list[Pending]:
        """Remove and return the calls whose time is up."""
        expired: list[Pending] = []
        while self._heap and self._heap[0][0] <= now:
            call = heapq.heappop(self._heap)[2]
            if call.is_over:
                self._stale -= 1
            else:
                expired.append(call)
        return expired

    def next(self) -> float | None:
        """The earliest deadline that somebody still waits for, or None."""
        while self._heap and self._heap[0][2].is_over:
            heapq.heappop(self._heap)
            self._stale -= 1
        return self._heap[0][0] if self._heap else None
