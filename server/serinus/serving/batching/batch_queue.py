"""The calls that wait for a run, apart by what can be joined, and in which order they are served."""

import asyncio
import dataclasses
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence

from serinus.core.errors import DeadlinePassed
from serinus.core.predictor import Request, Response
from serinus.serving.batching.fair_shares import FairShares, Place, Share
from serinus.serving.room import Room


@dataclasses.dataclass(slots=True, eq=False)
class Entry:
    """One call, or one part of an oversized call, on its way through the batcher.

    Attributes:
        request: The rows, and until when somebody waits for them.
        key: Entries with equal keys can share a run.
        level: 1 is the most urgent.
        since: Event-loop time in seconds at which it came.
        answer: Done when answered, failed, expired or cancelled; an entry whose answer is done never runs.
        length: Of each row (`core.lengths`).
        strand: Where it waits; None before it is pushed, and once it was taken for a run.
    """

    request: Request
    key: Hashable
    level: int
    since: float
    answer: asyncio.Future[Response]
    length: int = 1
    strand: "Strand | None" = None

    @property
    def is_waiting(self) -> bool:
        """Whether it is in the queue."""
        return self.strand is not None

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
class Strand:
    """Entries of one share that can be joined, in order of arrival.

    Attributes:
        key: Of all of them.
        share: On whose account they wait.
        entries: At least one, but for the strand that an empty queue keeps.
        rows: Of them.
    """

    key: Hashable
    share: Share
    entries: OrderedDict[Entry, None] = dataclasses.field(default_factory=OrderedDict)
    rows: int = 0


class BatchQueue:
    """Waiting entries.

    Of what can run goes first

    1. the most urgent level;
    2. once the queue has stood, that is, has not been empty for `stood_s`: the most critical;
    3. the tenant that has been served the fewest rows while others waited as well;
    4. the oldest, except where calls without a deadline of their own have waited for `stood_s`: of them the newest, in
       turns with the tenant's calls that have one. Those who have waited long are the likeliest to have given up.

    Not bounded by itself: admission bounds the calls, and an entry leaves as soon as its call does.

    Attributes:
        calls: Entries that wait.
        rows: Their rows.
        positions: Their rows, each times its length.
    """

    def __init__(self, *, stood_s: float = 0.5) -> None:
        self._stood_s = stood_s
        self._strands: dict[tuple[Hashable, Place], Strand] = {}
        self._shares = FairShares()
        self._last: Strand | None = None  # that was pushed to
        self._now = 0.0  # when the last entry came: nothing else happens here that could bring a later time
        self._stands_since = 0.0
        self.calls = 0
        self.rows = 0
        self.positions = 0

    @property
    def has_stood(self) -> bool:
        """Whether calls have waited here without a pause for so long that not all may be answered."""
        return self.calls > 0 and self._now - self._stands_since >= self._stood_s

    def push(self, entry: Entry) -> None:
        """Add an entry behind those of its strand."""
        now = self._now = entry.since
        if not self.calls:
            self._stands_since = now
        request = entry.request
        place = (entry.level, request.criticality, request.tenant, request.has_deadline)
        strand = self._last
        if strand is None or strand.share.place != place or strand.key != entry.key:
            strand = self._last = self._open(entry.key, place)
        entry.strand = strand
        strand.entries[entry] = None
        share, rows = strand.share, request.rows
        share.calls += 1
        share.rows += rows
        strand.rows += rows
        self.rows += rows
        self.positions += rows * entry.length
        self.calls += 1

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Undo `take` or `remove` for entries that still have to wait, given in their order of service."""
        times = self._now, self._stands_since
        for entry in reversed(entries):
            self.push(entry)
            self._now, self._stands_since = times
            strand = entry.strand
            assert strand is not None, "an entry that was pushed has no strand: this is a bug"
            if not self._newest_first(strand):
                strand.entries.move_to_end(entry, last=False)
            if len(self._strands) > 1:
                self._shares.charge(strand.share, -entry.request.rows)

    def _open(self, key: Hashable, place: Place) -> Strand:
        if not self.calls:
            for idle in tuple(self._strands.values()):
                self._close(idle)
        share = self._shares.open(place)
        strand = self._strands.get((key, share.place))
        if strand is None:
            strand = self._strands[key, share.place] = Strand(key, share)
        return strand

    def discard(self, entry: Entry) -> None:
        """Remove an entry, if it still waits."""
        if (strand := entry.strand) is not None:
            self._remove(strand, entry)

    def head(self) -> Entry:
        """The entry that runs next; the queue is not empty."""
        if len(self._strands) == 1:
            (strand,) = self._strands.values()
            return self._first(strand)
        return self._first(min(self._strands.values(), key=self._rank))

    def heads(self) -> Iterator[Entry]:
        """The first entry of each level of each kind that can be joined, the one that runs next first.

        For a queue that is not changed meanwhile.
        """
        head = self.head()
        yield head  # nearly always enough, and cheaper than sorting
        seen = {(head.level, head.key)}
        for strand in sorted(self._strands.values(), key=self._rank):
            lane = (strand.share.level, strand.key)
            if lane not in seen:
                seen.add(lane)
                yield self._first(strand)

    def joinable(self, head: Entry) -> Iterator[Entry]:
        """`head`, then the others that can join it in order of service; for a queue that is not changed meanwhile."""
        if len(self._strands) == 1:
            (strand,) = self._strands.values()
            return self._in_order(strand)
        strands = [strand for strand in self._strands.values() if strand.key == head.key]
        if len(strands) == 1:
            return self._in_order(strands[0])
        return itertools.chain((head,), (entry for entry in self._in_turns(strands, head) if entry is not head))

    def joinable_rows(self, head: Entry) -> int:
        """Rows that could share a run with `head`, its own included."""
        if len(self._strands) == 1:
            return self.rows
        return sum([strand.rows for strand in self._strands.values() if strand.key == head.key])

    def take(self, head: Entry, rows: int) -> list[Entry]:
        """Remove and return entries for one run of at most `rows` rows that can join `head`, in order of service.

        At least one, even if it has more rows. Order is kept: an entry that does not fit ends the search.
        """
        taken: list[Entry] = []
        for entry in self.joinable(head):
            if taken and entry.request.rows > rows:
                break
            taken.append(entry)
            rows -= entry.request.rows
        self.remove(taken)
        return taken

    def remove(self, entries: Collection[Entry]) -> None:
        """Take entries that wait out of the queue, for one run; their tenants have had their turn."""
        if len(self._strands) > 1:
            for entry in entries:
                if entry.strand is not None:
                    self._shares.charge(entry.strand.share, entry.request.rows)
        for entry in entries:
            if (strand := entry.strand) is not None:
                self._remove(strand, entry)

    def drain(self) -> list[Entry]:
        """Remove and return all entries."""
        entries = [entry for strand in self._strands.values() for entry in strand.entries]
        for entry in entries:
            self.discard(entry)
        return entries

    # What admission asks.

    def rows_ahead(self, level: int, request: Request) -> int:
        """Most of the waiting rows that run before a call that came now; calls that come later may still pass it."""
        place = (level, request.criticality, request.tenant, request.has_deadline)
        return self._shares.rows_ahead(place, request.rows, has_stood=self.has_stood)

    def give_way(self, request: Request) -> tuple[Room, Entry | None]:
        """Whether a call, for which there is no place, takes that of another; the other is removed and returned."""
        share = self._shares.to_give_way(request.criticality, request.tenant) if self.calls else None
        if share is None:
            return (Room.SHARE_USED if self._shares.is_used(request.tenant) else Room.NONE), None
        newest = [next(reversed(strand.entries)) for strand in self._strands.values() if strand.share is share]
        entry = max(newest, key=_arrival)
        self.discard(entry)
        return Room.MADE, entry

    # The order.

    def _first(self, strand: Strand) -> Entry:
        return next(reversed(strand.entries) if self._newest_first(strand) else iter(strand.entries))

    def _in_order(self, strand: Strand) -> Iterator[Entry]:
        return reversed(strand.entries) if self._newest_first(strand) else iter(strand.entries)

    def _newest_first(self, strand: Strand) -> bool:
        return not strand.share.has_deadline and self._now - next(iter(strand.entries)).since >= self._stood_s

    def _rank(self, strand: Strand) -> tuple[int, int, float, float, float]:
        share, since = strand.share, self._first(strand).since
        if self.has_stood:
            return share.level, share.criticality, share.account.served, share.served, since
        return share.level, 0, share.account.served, 0.0, since

    def _in_turns(self, strands: Iterable[Strand], head: Entry) -> Iterator[Entry]:
        """Entries of several strands in order of service, as if each were served when it is yielded, after `head`."""
        has_stood = self.has_stood
        by_account = {strand.share.account: strand.share.account.served for strand in strands}
        by_share = {strand.share: strand.share.served for strand in strands}
        ties = itertools.count()

        def served(share: Share, rows: int) -> None:
            by_account[share.account] += rows
            by_share[share] += rows

        def rank(share: Share, since: float) -> tuple[int, int, float, float, float]:
            if has_stood:
                return share.level, share.criticality, by_account[share.account], by_share[share], since
            return share.level, 0, by_account[share.account], 0.0, since

        if head.strand is not None:
            served(head.strand.share, head.request.rows)
        waiting = []
        for strand in strands:
            entries = self._in_order(strand)
            first = next(entries)
            waiting.append((rank(strand.share, first.since), next(ties), strand.share, first, entries))
        heapq.heapify(waiting)
        while waiting:
            ranked, tie, share, entry, entries = waiting[0]
            if (now := rank(share, entry.since)) != ranked:  # others of the account were served meanwhile
                heapq.heapreplace(waiting, (now, tie, share, entry, entries))
                continue
            yield entry
            if entry is not head:
                served(share, entry.request.rows)
            following = next(entries, None)
            if following is None:
                heapq.heappop(waiting)
            else:
                heapq.heapreplace(waiting, (rank(share, following.since), tie, share, following, entries))

    def _remove(self, strand: Strand, entry: Entry) -> None:
        del strand.entries[entry]
        entry.strand = None
        rows = entry.request.rows
        share = strand.share
        share.calls -= 1
        share.rows -= rows
        strand.rows -= rows
        self.rows -= rows
        self.positions -= rows * entry.length
        self.calls -= 1
        # The last strand stays: the next call is probably like this one, and to make a strand costs more than the rest.
        if not strand.entries and self.calls:
            self._close(strand)

    def _close(self, strand: Strand) -> None:
        share = strand.share
        del self._strands[strand.key, share.place]
        if strand is self._last:
            self._last = None
        if not share.calls:
            self._shares.close(share)

    def __repr__(self) -> str:
        return f"<BatchQueue {self.calls} calls, {self.rows} rows, {len(self._strands) if self.calls else 0} strands>"


def _arrival(entry: Entry) -> float:
    return entry.since
