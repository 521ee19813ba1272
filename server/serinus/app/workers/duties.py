"""What a supervisor does for its workers beside starting them: speaks, relays, and keeps out what kills them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from serinus.app.workers.log_word import LOG, LogWord
from serinus.app.workers.reports import WorkerReports
from serinus.config.supervision import Supervision
from serinus.registry.files.staging import StagingArea
from serinus.telemetry.logs import Logs
from serinus.workers.casualties import Casualties
from serinus.workers.control import Body
from serinus.workers.crew import Crew
from serinus.workers.facts import WorkerEnd
from serinus.workers.kept_counts import KeptCounts
from serinus.workers.others import Others
from serinus.workers.quarantine import Quarantine
from serinus.workers.relaying import Relays
from serinus.workers.supervisor import WorkerHandler


class Duties:
    """What is done; made by `open_duties`.

    Attributes:
        exposition: The `/metrics` of all workers.
    """

    def __init__(
        self,
        *,
        casualties: Casualties,
        relays: Relays,
        reports: WorkerReports,
        others: Others,
        counts: KeptCounts,
        log_word: LogWord,
        folder: Path,
    ) -> None:
        self.exposition = reports.exposition
        self._casualties = casualties
        self._relays = relays
        self._reports = reports
        self._others = others
        self._counts = counts
        self._log_word = log_word
        self._folder = folder

    def handlers(self) -> Mapping[str, WorkerHandler]:
        """What workers may ask, by kind."""
        return {
            "standing": self._standing,
            "relay": self._relays.relay,
            "lift": self._casualties.lift,
            "statuses": self._reports.statuses,
            "others": self._others.ask,
            LOG: self._log_word.relay,
            "last_counts": self._heard_last,
        }

    def began(self, pid: int) -> None:
        """A worker's process has been started."""
        self._counts.began(pid)

    def ended(self, end: WorkerEnd) -> None:
        """A worker's process is no more."""
        self._casualties.ended(end)
        self._reports.ended(end)
        self._counts.gone(end.pid)

    async def _heard_last(self, index: int, body: Body) -> Body:
        self._counts.seen(body["pid"], body["counts"])
        return await self._reports.heard_last(index, body)

    async def _standing(self, _index: int, _body: Body) -> Body:
        standing = {**self._casualties.standing(), **self._relays.standing(), **self._log_word.standing()}
        return {**standing, "folder": str(self._folder)}


@contextlib.asynccontextmanager
async def open_duties(
    settings: Supervision, crew: Callable[[], Crew], *, logs: Logs, uploads: Path, relay_s: float
) -> AsyncIterator[Duties]:
    """The duties, as long as the block runs, which is to be longer than the workers live.

    Args:
        settings: When a version is quarantined.
        crew: The workers; asked for when there is something to do.
        logs: The supervisor's own.
        uploads: Where files of clients lie until they are registered or loaded.
        relay_s: What one worker may take to load what another was told to.

    Raises:
        StoreFull, StoreUnavailable: files cannot be kept there.
    """
    quarantine = Quarantine(most_deaths=settings.most_deaths, window_s=settings.death_window_s)
    casualties = Casualties(quarantine, crew)
    async with (
        StagingArea(uploads) as area,
        area.scratch() as folder,
        Relays(crew, timeout_s=relay_s) as relays,
        _running(casualties),
    ):
        counts = KeptCounts()
        reports = WorkerReports(crew, quarantined=lambda: [each.version for each in casualties.entries()])
        yield Duties(
            casualties=casualties,
            relays=relays,
            reports=reports,
            others=Others(crew, counts=counts),
            counts=counts,
            log_word=LogWord(crew, logs),
            folder=folder,
        )


@contextlib.asynccontextmanager
async def _running(casualties: Casualties) -> AsyncIterator[None]:
    task = asyncio.create_task(casualties.run(), name="casualties")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
