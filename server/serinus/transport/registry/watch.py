"""Streams the registry's changes to those who watch, from the audit itself: nothing queues for a slow reader."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from serinus.core.errors import Refused
from serinus.registry.records import AuditEntry
from serinus.transport.iterators import closing
from serinus.transport.registry.messages import change_message
from serinus.transport.registry.ports import Audit, Changes
from serinus_api.v1 import registry_pb2 as pb

_PAGE = 100  # what a watcher that is behind holds at most
_MOST_RECENT = 256  # what all watchers share


class RecentChanges:
    """The newest writes, read once for all who watch.

    Whoever follows closely is served from memory; whoever is further behind reads the audit, a page at a time.

    Attributes:
        audit: Where writes are read.
        changes: Tells when there are more.
    """

    def __init__(self, audit: Audit, changes: Changes) -> None:
        self._audit = audit
        self._changes = changes
        self._recent: deque[AuditEntry] = deque()
        # Every write after `_start`, up to and including `_end`, is among the recent.
        self._start = self._end = self._known
        self._reading = asyncio.Lock()

    @property
    def _known(self) -> int:
        return self._changes.snapshot.revision

    async def watch(self, asked: pb.WatchRequest) -> AsyncGenerator[pb.WatchResponse]:
        """Every write after the revision that was asked for; it never ends by itself.

        Raises:
            Refused: the registry has not come so far: it is another one, or was restored from an older copy.
        """
        after = asked.after_revision
        # Another server may have heard of more than this one: the audit knows.
        if after > self._known and not await self._audit.audit(after - 1, limit=1):
            raise _ahead(after, self._known)
        newest = 0
        async with closing(self._changes.changes()) as snapshots:
            async for snapshot in snapshots:
                if snapshot.revision < newest:
                    raise _ahead(after, snapshot.revision)
                newest = snapshot.revision
                while after < self._known:
                    entries, after = await self._next(after, asked.model)
                    for entry in entries:
                        yield pb.WatchResponse(change=change_message(entry))

    async def _next(self, after: int, model: str) -> tuple[Sequence[AuditEntry], int]:
        """Some writes after `after`, and up to which revision that is all of them."""
        if after >= self._start:
            await self._catch_up()
        if after >= self._start:  # still: catching up may have dropped what this reader needs
            entries = [entry for entry in self._recent if entry.revision > after and model in {"", entry.model}]
            return entries, max(after, self._end)
        known = self._known
        page = await self._audit.audit(after, model=model, limit=_PAGE)
        if len(page) == _PAGE:
            return page, page[-1].revision
        return page, max(known, *(entry.revision for entry in page), after)

    async def _catch_up(self) -> None:
        # One at a time: those who come meanwhile find the work done.
        async with self._reading:
            known = self._known
            if known == self._end:
                return
            if known < self._end or known - self._end > _MOST_RECENT:  # another history, or nobody watched for a while
                self._recent.clear()
                self._start = self._end = max(0, known - _MOST_RECENT)
            page = await self._audit.audit(self._end, limit=_MOST_RECENT)
            self._recent.extend(page)
            # A full page may not be all; one that is not full is, even if the writes that were told of are not there.
            self._end = max(self._end, page[-1].revision if page else 0, known if len(page) < _MOST_RECENT else 0)
            while len(self._recent) > _MOST_RECENT:
                self._start = self._recent.popleft().revision


def _ahead(after: int, revision: int) -> Refused:
    return Refused(
        f"after_revision: expected at most {revision}, which the registry has reached, got {after}; read it anew",
        reason="REVISION_AHEAD",
        field="after_revision",
    )
