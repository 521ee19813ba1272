"""Asks all workers but one, for the sake of that one, and waits for none that lately did not answer.

worker → supervisor   "others"   {"kind": ..., "body": {...}, "wait_s": 1.0} → {"answers": [{...}, ...]}
supervisor → worker   the kind   that body

An answer that holds {"pid": ..., "counts": {...}} is kept. A worker that asks with {"kept": {"pid", "counts"}} of its
own gets {"missing": {...}} too: what those have counted that did not answer, or are gone. Of one that ends after it has
answered, while others are still waited for, its counts are among these, and its answer is left out.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from serinus.telemetry.logs import get_logger
from serinus.workers.control import Body, ChannelLost, NotAnswered
from serinus.workers.crew import Crew
from serinus.workers.facts import WorkerFacts, WorkerState
from serinus.workers.kept_counts import KeptCounts

log = get_logger("serinus.workers")

SAY: Final = "say"
"""What it says alone to a method that another worker answers for all: {"method", "message"} → {"answer"}."""
COLLECT: Final = "collect"
"""Inputs of the next calls to a version: {"model", "version", "rows", "wait_s"} → {"tensors": [...]}."""
FOLLOW: Final = "follow"
"""That it acts by the registry as another one does: {"model", "revision"} → {}, once it does."""
_KINDS: Final = frozenset({SAY, COLLECT, FOLLOW})

LONGEST_WAIT_S: Final = 600.0
SILENCE_S: Final = 10.0
"""A worker that has not answered is not asked for so long: one that hangs must not hold up every answer."""


class Others:
    """Speaks to the others.

    Args:
        crew: The workers; there is none yet when this is made.
        counts: Where counts are kept; who knows of ends tells it.
        clock: Seconds.
    """

    def __init__(
        self, crew: Callable[[], Crew], *, counts: KeptCounts, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._crew = crew
        self._counts = counts
        self._clock = clock
        self._silent: dict[int, float] = {}

    async def ask(self, index: int, body: Body) -> Body:
        """Answers a worker: {"answers": [...]}, of those that serve and could answer in time."""
        kind, wait_s = body["kind"], min(LONGEST_WAIT_S, float(body["wait_s"]))
        if kind not in _KINDS:
            raise NotAnswered(f"nobody is asked for {str(kind)[:64]!r}")
        now = self._clock()
        self._silent = {pid: until for pid, until in self._silent.items() if until > now}
        others = [
            worker
            for worker in self._crew().workers()
            if worker.index != index and worker.state is WorkerState.READY and worker.pid not in self._silent
        ]
        if "kept" in body:
            self._keep(body["kept"])
        found = await asyncio.gather(*(self._answer(worker, kind, body["body"], wait_s) for worker in others))
        answers = [answer for answer in found if answer is not None]
        if "kept" not in body:
            return {"answers": answers}
        answers = [each for each in answers if "counts" not in each or not self._counts.has_ended(each["pid"])]
        answering = {int(each["pid"]) for each in (body["kept"], *answers) if "counts" in each}
        return {"answers": answers, "missing": self._counts.missing(answering)}

    def _keep(self, said: Body) -> None:
        if "counts" in said:
            self._counts.seen(said["pid"], said["counts"])

    async def _answer(self, worker: WorkerFacts, kind: str, body: Body, wait_s: float) -> Body | None:
        try:
            answer = await self._crew().ask(worker.index, kind, body, timeout_s=wait_s)
        except (ChannelLost, NotAnswered):
            return None  # it goes away, or has nothing to say
        except TimeoutError:
            log.warning("worker does not answer", worker=worker.index, kind=kind, wait_s=wait_s)
            if worker.pid is not None:
                self._silent[worker.pid] = self._clock() + SILENCE_S
            return None
        self._keep(answer)  # now: by the time that all have answered it may have said more, or have ended
        return answer
