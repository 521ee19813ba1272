"""Decides which of the calls that wait go first: urgent before patient, every model its share, and none in vain."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from serinus_client.options import FrameLimits
from serinus_client.pending import Lane, Pending

_PART_OF_FREE = 4
"""A model may have so many times as many calls open on a stream as there is room left: alone it takes four fifths, and
when its calls hang those of other models still find room."""


class Outbox:
    """Calls that wait to be written.

    Oldest first; but once the oldest has waited for most of its time, newest first: then there are more calls than can
    be answered, and the oldest would be sent only to expire. Its bound is its callers: each call in it has one that
    waits, with a deadline.
    """

    __slots__ = ("_lanes", "_limits", "_order")

    def __init__(self, limits: FrameLimits) -> None:
        self._limits = limits
        self._lanes: dict[Lane, OrderedDict[int, Pending]] = {}
        self._order: list[Lane] = []  # most urgent first; among equals, whose turn it is

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __len__(self) -> int:
        return sum([len(lane) for lane in self._lanes.values()])

    def __iter__(self) -> Iterator[Pending]:
        for lane in self._lanes.values():
            yield from lane.values()

    def put(self, call: Pending) -> None:
        """A call waits from now on."""
        lane = self._lanes.get(call.lane)
        if lane is None:
            lane = self._lanes[call.lane] = OrderedDict()
            self._order.append(call.lane)
            self._order.sort(key=_urgency)
        lane[call.id] = call

    def put_back(self, calls: Iterable[Pending]) -> None:
        """Calls that were taken and never sent wait again, before all others of their kind."""
        for call in reversed(list(calls)):
            self.put(call)
            self._lanes[call.lane].move_to_end(call.id, last=False)

    def drop(self, call: Pending) -> bool:
        """Take a call out that nobody waits for; whether it was still here."""
        lane = self._lanes.get(call.lane)
        if lane is None or lane.pop(call.id, None) is None:
            return False
        if not lane:
            self._remove(call.lane)
        return True

    def take(self, most: int, *, now: float, room: int, open_by_model: Mapping[str, int]) -> list[Pending]:
        """Remove and return the calls of the next message of one stream.

        Args:
            most: Calls.
            now: Event-loop time in seconds.
            room: How many more calls the stream may have open.
            open_by_model: How many each model has open on it.
        """
        taken: list[Pending] = []
        left = _Left(min(most, self._limits.calls), self._limits.size_bytes, room)
        for lane in tuple(self._order):
            self._take_from(lane, taken, left, now, open_by_model.get(lane.model, 0))
            if not self._lanes[lane]:
                self._remove(lane)
            elif left.calls <= 0:
                # It had its turn: it comes last among equals.
                self._order.remove(lane)
                self._order.append(lane)
                self._order.sort(key=_urgency)
                break
        return taken

    def _take_from(self, lane: Lane, taken: list[Pending], left: "_Left", now: float, opened: int) -> None:
        calls = self._lanes[lane]
        newest_first = next(iter(calls.values())).has_waited_long(now)
        while calls and left.calls > 0 and opened < _PART_OF_FREE * left.room:
            _, call = calls.popitem(last=newest_first)
            if call.is_over:  # its caller was cancelled a moment ago, and has not come by to drop it
                continue
            if taken and call.size_bytes > left.size_bytes:
                calls[call.id] = call
                if not newest_first:
                    calls.move_to_end(call.id, last=False)
                left.calls = 0
                return
            taken.append(call)
            left.take(call)
            opened += 1

    def _remove(self, lane: Lane) -> None:
        del self._lanes[lane]
        self._order.remove(lane)


class _Left:
    """What the message and the stream can still take."""

    __slots__ = ("calls", "room", "size_bytes")

    def __init__(self, calls: int, size_bytes: int, room: int) -> None:
        self.calls = calls
        self.size_bytes = size_bytes
        self.room = room

    def take(self, call: Pending) -> None:
        self.calls -= 1
        self.room -= 1
        self.size_bytes -= call.size_bytes


def _urgency(lane: Lane) -> tuple[int, int]:
    return (lane.rank, lane.priority)
