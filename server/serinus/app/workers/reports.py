"""What the supervisor says for all workers: one `/metrics`, and their statuses for the worker that is asked for one."""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from serinus.core.version import ModelVersion
from serinus.telemetry.exposition import CONTENT_TYPE, text_of
from serinus.telemetry.logs import get_logger
from serinus.telemetry.merging import exposed, merged, parsed
from serinus.telemetry.worker_metrics import WorkerRow, worker_families
from serinus.telemetry.worker_totals import WorkerTotals
from serinus.threads import to_thread
from serinus.workers.control import Body
from serinus.workers.crew import Crew
from serinus.workers.facts import Failure, WorkerEnd, WorkerState

log = get_logger("serinus.workers")

SILENT: Final = "silent"
"""The state of a worker that should answer and does not."""

_METRICS_S = 1.0  # a scraper waits for ten; one worker that hangs must not make it wait for all of them
_STATUS_S = 1.0
_ENDS_KEPT = 64  # an answer is read within milliseconds of its worker's end
_STATES = (*(str(state) for state in WorkerState), SILENT)


class WorkerReports:
    """Speaks for all workers.

    Args:
        crew: The workers; there is none yet when this is made.
        quarantined: What is kept out.
    """

    def __init__(self, crew: Callable[[], Crew], *, quarantined: Callable[[], Sequence[ModelVersion]]) -> None:
        self._crew = crew
        self._quarantined = quarantined
        self._totals = WorkerTotals()
        self._ended: collections.deque[int] = collections.deque(maxlen=_ENDS_KEPT)

    async def exposition(self) -> tuple[bytes, str]:
        """All counters, and the gauges of those that answer, with the type of the text; to be called once at a time."""
        answers = await self._crew().ask_all("metrics", {}, timeout_s=_METRICS_S)
        answering = await self._take_in(answers)
        facts = self._crew().workers()
        is_whole = all(worker.state is WorkerState.READY and worker.pid in answering.values() for worker in facts)
        if is_whole:
            self._totals.forget_unloaded()
        rows = [
            WorkerRow(
                worker.index,
                SILENT if worker.state is WorkerState.READY and worker.index not in answering else str(worker.state),
                worker.restarts,
                is_up=worker.index in answering,
                resident_bytes=None if worker.pid is None else self._totals.resident_bytes(worker.pid),
            )
            for worker in facts
        ]
        parts = self._totals.parts(frozenset(answering.values()))
        text = await to_thread(lambda: exposed(merged(parts)))
        own = text_of(worker_families(rows, states=_STATES, quarantined=self._quarantined()))
        return (text + own).encode(), CONTENT_TYPE

    async def heard_last(self, _index: int, body: Body) -> Body:
        """Answers a worker that leaves what it has counted behind."""
        await self._see(body)
        return {}

    def ended(self, end: WorkerEnd) -> None:
        """A worker's process is no more."""
        self._ended.append(end.pid)
        self._totals.gone(end.pid)

    async def statuses(self, _index: int, _body: Body) -> Body:
        """Answers a worker that was asked for the status of all."""
        answers = await self._crew().ask_all("status", {}, timeout_s=_STATUS_S)
        # By process: while a worker is replaced, the one that answered may not be the one that is there now.
        found = {answer["pid"]: answer["status"] for answer in answers.values() if not isinstance(answer, Failure)}
        return {
            "places": [
                {
                    "index": worker.index,
                    "pid": worker.pid or 0,
                    "started_unix_s": worker.started_unix_s,
                    "restarts": worker.restarts,
                    "last_end": worker.last_end,
                    "status": found.get(worker.pid or 0),
                }
                for worker in self._crew().workers()
            ]
        }

    async def _take_in(self, answers: Mapping[int, Body | Failure]) -> dict[int, int]:
        """Process by place of those that have said something sensible."""
        found: dict[int, int] = {}
        for index, answer in answers.items():
            if not isinstance(answer, Failure) and await self._see(answer):
                found[index] = answer["pid"]
        return found

    async def _see(self, body: Body) -> bool:
        """Whether what a process shows could be read, and is not that of one that has ended meanwhile."""
        try:
            said = await to_thread(parsed, body["text"])
        except ValueError as error:
            log.warning("metrics of a worker not read", pid=body["pid"], trouble=str(error))
            return False
        if body["pid"] in self._ended:
            return False
        self._totals.seen(body["pid"], said)
        return True
