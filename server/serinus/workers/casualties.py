"""Takes in how workers end, decides with the `Quarantine` who is kept out because of it, and tells all workers."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from serinus.telemetry.logs import get_logger
from serinus.workers.control import Body
from serinus.workers.crash_record import read_record
from serinus.workers.crew import Crew
from serinus.workers.facts import Failure, WorkerEnd
from serinus.workers.quarantine import Quarantine, Quarantined

log = get_logger("serinus.workers")

KEPT_OUT: Final = "kept_out"
"""What a worker is asked: {"kept_out": [...]} is the whole list from now on. It answers when it has acted on it."""

_TELL_S = 10.0  # to let go of versions that serve; a worker that is slower gets the list when it is next told
_ON_PURPOSE = "exit 0"


class Casualties:
    """Suspects of deaths, and what follows; `run` must run for it.

    A worker that went because a run of it does not end counts as dead of what it was running. One that was told to
    leave for another reason does not, even if it had to be killed: its calls were long, and its time was short.

    Args:
        quarantine: Decides.
        crew: The workers; there is none yet when this is made.
        clock: Seconds.
    """

    def __init__(
        self, quarantine: Quarantine, crew: Callable[[], Crew], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._quarantine = quarantine
        self._crew = crew
        self._clock = clock
        self._changed = asyncio.Event()

    def entries(self) -> Sequence[Quarantined]:
        """What is kept out."""
        return self._quarantine.entries()

    def standing(self) -> Body:
        """The same for a worker."""
        return {KEPT_OUT: [each.body() for each in self.entries()]}

    def ended(self, end: WorkerEnd) -> None:
        """A worker's process is no more; to be called before its record is closed."""
        if not end.was_stuck and (end.was_told or end.how == _ON_PURPOSE):
            return
        suspects = read_record(end.record)
        if not suspects:
            return
        log.warning("worker died at work", worker=end.index, how=end.how, versions=sorted(map(str, suspects)))
        found = self._quarantine.died(suspects, end=end.how, now=self._clock())
        for each in found:
            log.error(
                "version quarantined", model=each.version.model, version=each.version.version_text, why=each.sentence
            )
        if found:
            self._changed.set()

    async def run(self) -> None:
        """Tell all workers what is kept out, whenever that has grown; until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._tell()

    async def lift(self, _index: int, body: Body) -> Body:
        """Answers a worker that was told to load `model`, and of it `version` or all for ""; returns when all know."""
        lifted = self._quarantine.lift(body["model"], body["version"])
        for each in lifted:
            log.info("quarantine lifted", model=each.version.model, version=each.version.version_text)
        if lifted:
            await self._tell()
        return {}

    async def _tell(self) -> None:
        answers = await self._crew().ask_all(KEPT_OUT, self.standing(), timeout_s=_TELL_S)
        for index, answer in answers.items():
            if isinstance(answer, Failure):
                # One that is not there yet asks for the list itself.
                log.info("worker not told what is kept out", worker=index, trouble=answer.sentence)
