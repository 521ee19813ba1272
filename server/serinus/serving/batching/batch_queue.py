"""The calls that wait for a run: in order of priority, then of arrival, apart by what can be joined."""

import asyncio
import dataclasses
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator

from serinus.core.errors import DeadlinePassed
from serinus.core.predictor import Request, Response


@dataclasses.dataclass(slots=True, eq=False)
class Entry:
    """One call, or one part of an oversized call, on its way through the batcher.

    Attributes:
        request: The rows, and until when somebody waits for them.
        key: Entries with equal keys can share a run.
        level: 1 is the most urgent.
        since: Event-loop time in seconds at which it came.
        answer: Done when answered, failed, expired or cancelled; an entry whose answer is done never runs.
        is_waiting: It is in the queue; false once it was taken for a run.
    """

    request: Request
    key: Hashable
    level: int
    since: float
    answer: asyncio.Future[Response]
    is_waiting: bool = True

    def fail(self, error: Exception) -> None:
        """End the call with `error`, unless it has ended."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def is_over(self, now: float) -> bool:
        """Whether nobody waits for the answer any more; a call found past its deadline ends here."""
        if self.answer.done():
            return True
        if self.request.deadline > now:
            return False
        self.answer.set_exception(DeadlinePassed(f"no answer within {now - self.since:.3f} s"))
        return True


@dataclasses.dataclass(slots=True, eq=False)
class _Lane:
    """Entries of one level that can be joined, in order of arrival."""

    entries: OrderedDict[Entry, None] = dataclasses.field(default_factory=OrderedDict)
    rows: int = 0

    def first(self) -> Entry:
        return next(iter(self.entries))


class BatchQueue:
    """Waiting entries. The most urgent level goes first; within a level, the oldest.

    Not bounded by itself: admission bounds the calls, and an entry leaves as soon as its call does.

    Attributes:
        calls: Entries that wait.
        rows: Their rows.
    """

    def __init__(self) -> None:
        self._lanes: dict[tuple[int, Hashable], _Lane] = {}
        self.calls = 0
        self.rows = 0

    def push(self, entry: Entry) -> None:
        """Add an entry at the end of its lane."""
        place = (entry.level, entry.key)
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = _Lane()
        lane.entries[entry] = None
        rows = entry.request.rows
        lane.rows += rows
        self.rows += rows
        self.calls += 1

    def discard(self, entry: Entry) -> None:
        """Remove an entry, if it still waits."""
        if entry.is_waiting:
            place = (entry.level, entry.key)
            self._remove(place, self._lanes[place], entry)

    def head(self) -> Entry:
        """The entry that runs next; the queue is not empty."""
        if len(self._lanes) == 1:
            (lane,) = self._lanes.values()
            return lane.first()
        return min((lane.first() for lane in self._lanes.values()), key=_urgency)

    def heads(self) -> Iterator[Entry]:
        """The first entry of each lane, the one that runs next first; for a queue that is not changed meanwhile."""
        yield self.head()  # nearly always enough, and cheaper than sorting
        yield from sorted((lane.first() for lane in self._lanes.values()), key=_urgency)[1:]

    def drain(self) -> list[Entry]:
        """Remove and return all entries."""
        entries = [entry for lane in self._lanes.values() for entry in lane.entries]
        for entry in entries:
            self.discard(entry)
        return entries

    def joinable_rows(self, head: Entry) -> int:
        """Rows that could share a run with `head`, its own included."""
        if len(self._lanes) == 1:
            return self.rows
        return sum(lane.rows for (_, key), lane in self._lanes.items() if key == head.key)

    def joinable(self, head: Entry) -> Iterator[Entry]:
        """`head`, then the others that can join it in order of service; for a queue that is not changed meanwhile."""
        yield head
        for place in sorted((place for place in self._lanes if place[1] == head.key), key=_level):
            yield from (entry for entry in self._lanes[place].entries if entry is not head)

    def remove(self, entries: Iterable[Entry]) -> None:
        """Take entries that wait out of the queue, for one run."""
        for entry in entries:
            self.discard(entry)

    def take(self, head: Entry, rows: int) -> list[Entry]:
        """Remove and return entries for one run of at most `rows` rows that can join `head`, the most urgent first.

        At least one, even if it has more rows. Order within a lane is kept: an entry that does not fit ends its search.
        """
        taken: list[Entry] = []
        for place in sorted((place for place in self._lanes if place[1] == head.key), key=_level):
            lane = self._lanes[place]
            while lane.entries:
                entry = lane.first()
                if taken and entry.request.rows > rows:
                    break
                self._remove(place, lane, entry)
                taken.append(entry)
                rows -= entry.request.rows
            if rows <= 0:
                break
        return taken

    def _remove(self, place: tuple[int, Hashable], lane: _Lane, entry: Entry) -> None:
        del lane.entries[entry]
        entry.is_waiting = False
        rows = entry.request.rows
        lane.rows -= rows
        self.rows -= rows
        self.calls -= 1
        if not lane.entries:
            del self._lanes[place]

    def __repr__(self) -> str:
        return f"<BatchQueue {self.calls} calls, {self.rows} rows, {len(self._lanes)} lanes>"


def _urgency(entry: Entry) -> tuple[int, float]:
    return (entry.level, entry.since)


def _level(place: tuple[int, Hashable]) -> int:
    return place[0]
