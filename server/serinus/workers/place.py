"""One worker's place: who dies there is followed by another, and who is to be replaced serves until another does."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from serinus.telemetry.logs import get_logger
from serinus.workers.control import Body, ChannelLost, NotAnswered
from serinus.workers.facts import Company, WorkerFacts, WorkerState
from serinus.workers.restarts import RestartPolicy, Streak

log = get_logger("serinus.workers")

_ASKED_WITHIN = 4  # times while a silence lasts that is too long


class Worker(Protocol):
    """What a place needs of a process; `WorkerProcess` is one."""

    index: int
    pid: int
    started_unix_s: float
    started_s: float
    ready: asyncio.Event
    announced: Body
    refused: str
    was_told: bool
    gone: asyncio.Event
    how: str

    async def listen(self) -> None:
        """Answer what it asks until it is gone."""
        ...

    async def ask(self, kind: str, body: Body, *, timeout_s: float) -> Body:
        """What it answers."""
        ...

    async def leave(self, patience_s: float, company: Company) -> None:
        """Let it answer its calls and go; kill it after `patience_s`."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class PlaceRules:
    """The numbers of a place.

    Attributes:
        ready_s: A process that is not ready after so long is killed.
        silent_s: One that then answers nothing for so long is replaced.
        restarts: How long the place stays empty after a death.
    """

    ready_s: float
    silent_s: float
    restarts: RestartPolicy


class Replacement:
    """Somebody wants another process in a place.

    Attributes:
        patience_s: What the present one gets to answer its calls.
        outcome: Whether another one serves there now; set when the present one is gone.
    """

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self.outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class Place:
    """Empty → starting → ready, and from ready to ready when it is replaced; run by `keep`.

    Args:
        index: From 1.
        begin: Starts a process; OSError says that it cannot be started now.
        rules: The numbers.
        spawn: Runs a coroutine beside everything else, to its end.
        sleep: Waits.
        clock: Seconds, as in `Worker.started_s`.

    Attributes:
        ready: Set once a process has served here.
        refused: Why the last process could not serve as it was told; "" when it could.
        on_refused: Set with the first refusal before anybody was ready.
    """

    def __init__(
        self,
        index: int,
        *,
        begin: Callable[[int], Worker],
        rules: PlaceRules,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.index = index
        self.ready = asyncio.Event()
        self.refused = ""
        self.on_refused = asyncio.Event()
        self._begin_process = begin
        self._rules = rules
        self._spawn = spawn
        self._sleep = sleep
        self._clock = clock
        self._streak = Streak()
        self._begun = 0
        self._current: Worker | None = None
        self._last_end = ""
        self._asked: Replacement | None = None
        self._is_asked = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Place {self.facts()}>"

    @property
    def worker(self) -> Worker | None:
        """Who is here: ready, or the first to come."""
        return None if self._current is None or self._current.gone.is_set() else self._current

    def facts(self) -> WorkerFacts:
        """What goes on here."""
        worker, restarts = self.worker, max(0, self._begun - 1)
        if worker is None:
            return WorkerFacts(self.index, None, WorkerState.WAITING, 0.0, restarts, self._last_end)
        state = WorkerState.READY if worker.ready.is_set() else WorkerState.STARTING
        if worker.was_told:
            state = WorkerState.LEAVING
        return WorkerFacts(self.index, worker.pid, state, worker.started_unix_s, restarts, self._last_end)

    def replace(self, patience_s: float) -> "asyncio.Future[bool]":
        """Have another process here; the outcome says whether there is one, once the present one is gone."""
        if self._asked is None:
            self._asked = Replacement(patience_s)
        self._asked.patience_s = min(self._asked.patience_s, patience_s)
        self._is_asked.set()
        return self._asked.outcome

    async def keep(self) -> None:
        """See to it that somebody serves here. Runs until cancelled; then whoever is here goes on."""
        while True:
            if self.worker is None:
                await self._fill()
            worker = self.worker
            if worker is not None:
                await _first_of(worker.gone, self._is_asked)
                if worker.gone.is_set():
                    self._note_end(worker)
            if self._is_asked.is_set():
                await self._replace()

    async def _fill(self) -> None:
        """Start processes until one is ready."""
        while True:
            await self._sleep(self._streak.wait_s(self._rules.restarts))
            worker = await self._begin()
            if worker is not None:
                self._current = worker
                if await self._became_ready(worker):
                    return

    async def _replace(self) -> None:
        """Start one beside the present one, and let that go when the new one is ready."""
        asked, self._asked = self._asked, None
        self._is_asked.clear()
        assert asked is not None, "the event is set with it: this is a bug"
        successor = await self._begin()
        if successor is None or not await self._became_ready(successor):
            log.error("worker not replaced", worker=self.index, trouble=self.refused or self._last_end)
            asked.outcome.set_result(False)
            return
        before, self._current = self._current, successor
        self._spawn(self._let_go(before, asked))

    async def _let_go(self, worker: Worker | None, asked: Replacement) -> None:
        if worker is not None:
            if not worker.gone.is_set():
                await worker.leave(asked.patience_s, Company.STAYS)
            self._last_end = worker.how
        if not asked.outcome.done():
            asked.outcome.set_result(True)

    async def _begin(self) -> Worker | None:
        """Start a process; None if that cannot be done now."""
        try:
            worker = self._begin_process(self.index)
        except OSError as error:
            log.error("worker not started", worker=self.index, trouble=error.strerror)  # noqa: TRY400 - it is no bug
            self._streak = self._streak.after_death(self._rules.restarts, lived_s=0.0)
            return None
        self._begun += 1
        return worker

    async def _became_ready(self, worker: Worker) -> bool:
        """Wait until it serves, or has died: then its death is noted."""
        try:
            async with asyncio.timeout(self._rules.ready_s):
                await _first_of(worker.ready, worker.gone)
        except TimeoutError:
            log.error("worker killed", worker=self.index, pid=worker.pid, reason="it was not ready in time")  # noqa: TRY400 - it is no bug
            worker.kill()
            await worker.gone.wait()
        if not worker.gone.is_set():
            self.refused = ""
            self.ready.set()
            log.info("worker ready", worker=self.index, pid=worker.pid)
            self._spawn(self._see_that_it_answers(worker))
            return True
        self._note_end(worker)
        if worker.refused:
            self.refused = worker.refused
            if not self.ready.is_set():
                self.on_refused.set()
        return False

    async def _see_that_it_answers(self, worker: Worker) -> None:
        """Until it goes: a process whose event loop stands says nothing any more, not even that it is stuck."""
        silent_s = self._rules.silent_s
        while not worker.was_told:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(silent_s / _ASKED_WITHIN):
                    await worker.gone.wait()
                    return
            try:
                await worker.ask("alive", {}, timeout_s=silent_s)
            except TimeoutError:
                if self.worker is worker and not worker.was_told:
                    log.error("worker silent", worker=self.index, pid=worker.pid, seconds=silent_s)  # noqa: TRY400 - it is no bug
                    self.replace(0.0)  # it would not hear that it is to leave
                return
            except ChannelLost:
                return
            except NotAnswered:
                continue  # that is an answer

    def _note_end(self, worker: Worker) -> None:
        self._last_end = worker.how
        lived_s = self._clock() - worker.started_s
        self._streak = self._streak.after_death(self._rules.restarts, lived_s=lived_s)
        log.warning(
            "worker ended",
            worker=self.index,
            pid=worker.pid,
            how=worker.how,
            lived_s=round(lived_s, 3),
            next_start_s=self._streak.wait_s(self._rules.restarts),
        )


async def _first_of(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
