"""Keeps a snapshot of the registry as fresh as the database allows, and tells when it is another one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Protocol

from serinus.core.errors import ServerError, StoreUnavailable
from serinus.registry.records import Snapshot
from serinus.registry.saved_snapshot import SavedSnapshot
from serinus.registry.sql.database import Database
from serinus.registry.sql.pulse import pulse_of
from serinus.telemetry.logs import get_logger
from serinus.threads import to_thread

NOTHING_KNOWN: Final = Snapshot(0, {})
"""The snapshot of a server that has never seen its registry."""

_FIRST_WAIT_S = 0.1  # a restarted database is often back in the next moment
_LONGEST_WAIT_S = 5.0  # nobody who repaired a database should wait longer for its servers

_log = get_logger(__name__)


class Refreshing(Protocol):
    """Reads what changed; the registry does."""

    async def refreshed(self, snapshot: Snapshot) -> Snapshot:
        """What the registry is since `snapshot`; the same object if nothing was written."""
        ...


class Follower:
    """The registry as this process sees it: `snapshot`, and `changes()` to be told of the next one.

    `run` must run for that; it goes on through every trouble of the database, and keeps the last snapshot meanwhile.

    Args:
        registry: Where snapshots are read.
        database: Which tells that something was written.
        known: What is believed until the database was read, such as a saved snapshot.
        saved: Where each new snapshot is saved; None for nowhere.
        sleep: Waits for seconds; for tests.
    """

    def __init__(
        self,
        registry: Refreshing,
        database: Database,
        *,
        known: Snapshot = NOTHING_KNOWN,
        saved: SavedSnapshot | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._registry = registry
        self._database = database
        self._snapshot = known
        self._saved = saved
        self._sleep = sleep
        self._trouble: ServerError | None = StoreUnavailable("the registry's database was not read yet")
        self._subscribers: set[asyncio.Event] = set()
        self._read = asyncio.Event()

    def __repr__(self) -> str:
        behind = ", behind" if self.is_behind else ""
        return f"<Follower revision {self._snapshot.revision}{behind}>"

    @property
    def snapshot(self) -> Snapshot:
        """The newest that is known."""
        return self._snapshot

    @property
    def is_behind(self) -> bool:
        """Whether the database could not be read the last time: there may be newer snapshots."""
        return self._trouble is not None

    @property
    def trouble(self) -> str:
        """Why it is behind, a sentence for operators; "" if it is not."""
        return "" if self._trouble is None else self._trouble.message

    async def wait_until_read(self) -> Snapshot:
        """The snapshot, once the database was read for the first time; waits for as long as that takes."""
        await self._read.wait()
        return self._snapshot

    async def changes(self) -> AsyncIterator[Snapshot]:
        """The snapshot as it is now, then each newer one; a slow reader skips those that are old when it comes back."""
        event = asyncio.Event()
        self._subscribers.add(event)
        try:
            while True:
                event.clear()
                yield self._snapshot
                await event.wait()
        finally:
            self._subscribers.remove(event)

    async def run(self) -> None:
        """Follow the registry until it is cancelled."""
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                async with pulse_of(self._database) as pulse:
                    while True:
                        await self._refresh()
                        wait_s = _FIRST_WAIT_S
                        await pulse.beat()
            except ServerError as error:
                self._fall_behind(error)
            except Exception as error:  # noqa: BLE001 - the task's outermost frame
                # Nothing that one read trips over may end what keeps a server fed.
                _log.exception("registry not followed: a bug")
                self._fall_behind(StoreUnavailable(f"reading the registry failed: {type(error).__name__}"))
            await self._sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _refresh(self) -> None:
        old = self._snapshot
        new = await self._registry.refreshed(old)
        if self._trouble is not None:
            _log.info("registry followed", revision=new.revision)
            self._trouble = None
        if new is not old:
            self._snapshot = new
            for event in self._subscribers:
                event.set()
            await self._save(new)
        self._read.set()

    def _fall_behind(self, error: ServerError) -> None:
        if self._trouble is None or self._trouble.message != error.message:
            _log.warning("registry not followed", trouble=error.message, revision=self._snapshot.revision)
        self._trouble = error

    async def _save(self, snapshot: Snapshot) -> None:
        if self._saved is None:
            return
        try:
            await to_thread(self._saved.write, snapshot)
        except OSError as error:
            # What serves does not depend on it; the next snapshot is saved again.
            _log.warning("snapshot not saved", error=type(error).__name__)
