"""Streams the registry's changes to those who watch, from the audit itself: nothing queues for a slow reader."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from serinus.core.errors import Refused
from serinus.registry.records import AuditEntry
from serinus.transport.registry_messages import change_message
from serinus.transport.registry_ports import Audit, Changes
from serinus_api.v1 import registry_pb2 as pb

_PAGE = 100  # what a watcher holds at most
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
        self._start = self._end = changes.revision
        self._reading = asyncio.Lock()

    async def watch(self, asked: pb.WatchRequest) -> AsyncGenerator[pb.WatchResponse]:
        """Every write after the revision that was asked for; it never ends by itself.

        Raises:
            Refused: the registry has not come so far: it is another one, or was restored from an older copy.
        """
        after = await self._checked(asked.after_revision)
        while True:
            entries, after = await self._next(after, asked.model)
            for entry in entries:
                yield pb.WatchResponse(change=change_message(entry))
            await self._changes.wait_beyond(after)

    async def _checked(self, after: int) -> int:
        known = self._changes.revision
        # Another server may have heard of more than this one: the audit knows.
        if after > known and not await self._audit.audit(after - 1, limit=1):
            raise Refused(
                f"after_revision: expected at most {known}, which the registry has reached, got {after}; read it anew",
                reason="REVISION_AHEAD",
                field="after_revision",
            )
        return after

    async def _next(self, after: int, model: str) -> tuple[Sequence[AuditEntry], int]:
        """Some writes after `after`, and up to which revision that is all of them."""
        if after >= self._start:
            await self._catch_up()
        if after >= self._start:  # still: catching up may have dropped what this reader needs
            entries = [entry for entry in self._recent if entry.revision > after and model in {"", entry.model}]
            return entries, max(after, self._end)
        known = self._changes.revision
        page = await self._audit.audit(after, model=model, limit=_PAGE)
        if len(page) == _PAGE:
            return page, page[-1].revision
        return page, max(after, known, *(entry.revision for entry in page))

    async def _catch_up(self) -> None:
        async with self._reading:
            known = self._changes.revision
            if known <= self._end:
                return
            if known - self._end > _MOST_RECENT:  # nobody watched for a while
                self._recent.clear()
                self._start = self._end = known - _MOST_RECENT
            page = await self._audit.audit(self._end, limit=_MOST_RECENT)
            self._recent.extend(page)
            # A full page may not be all; one that is not full is, even if the writes that were told of are not there.
            self._end = max(page[-1].revision if page else 0, known if len(page) < _MOST_RECENT else 0)
            while len(self._recent) > _MOST_RECENT:
                self._start = self._recent.popleft().revision
