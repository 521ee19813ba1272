"""All workers together: started at once, asked one by one or all, restarted in turn, and let go."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from serinus.telemetry.logs import get_logger
from serinus.workers.control import Body, ChannelLost, Handler, NotAnswered
from serinus.workers.facts import Company, Failure, WorkerFacts, WorkerState
from serinus.workers.place import Place, PlaceRules, Worker

log = get_logger("serinus.workers")

WorkerHandler = Callable[[int, Body], Awaitable[Body]]
"""Answers what the worker in a place asks."""

_STUCK_S = 1.0  # a worker with a run that never ends may still answer its other calls


class Begin(Protocol):
    """Starts the process of a place; OSError says that it cannot be started now."""

    def __call__(self, index: int, *, handlers: Mapping[str, Handler]) -> Worker:
        """A process that starts; `handlers` answer what it asks."""
        ...


class WorkersRefused(Exception):
    """No worker can serve as it was told; the message says why, for the person who started it."""


class Supervisor:
    """Starting → serving → leaving; an async context manager, which kills whoever is left.

    Args:
        count: How many workers.
        begin: Starts one.
        rules: The numbers of each place.
        patience_s: What a worker gets to answer its calls before it is killed.
        handlers: What workers may ask of the program around; "leave" and "stuck" are answered here.
        sleep: Waits.
        clock: Seconds, as in `Worker.started_s`.

    Attributes:
        told_to_leave: Set once a worker was told that the whole server should go.
    """

    def __init__(
        self,
        *,
        count: int,
        begin: Begin,
        rules: PlaceRules,
        patience_s: float,
        handlers: Mapping[str, WorkerHandler],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.told_to_leave = asyncio.Event()
        self._begin_process = begin
        self._patience_s = patience_s
        self._handlers: dict[str, WorkerHandler] = {**handlers, "leave": self._heard_leave, "stuck": self._heard_stuck}
        self._alive: set[Worker] = set()
        self._tasks = asyncio.TaskGroup()
        self._keepers: list[asyncio.Task[None]] = []
        self._roll_asked = asyncio.Event()
        self._places = [
            Place(index, begin=self._begin, rules=rules, spawn=self._spawn, sleep=sleep, clock=clock)
            for index in range(1, count + 1)
        ]

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._keepers = [self._tasks.create_task(place.keep()) for place in self._places]
        self._keepers.append(self._tasks.create_task(self._roll_when_asked()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.wait(self._keepers)
        self.kill_all()
        # What ends the block comes out of it as it is, rather than in a group of errors.
        is_cancelled = isinstance(error, asyncio.CancelledError)
        await self._tasks.__aexit__(*((kind, error, trace) if is_cancelled else (None, None, None)))

    def workers(self) -> Sequence[WorkerFacts]:
        """All places, in order."""
        return [place.facts() for place in self._places]

    async def started(self) -> Sequence[Body]:
        """Wait until somebody has served in every place; gives what each said when it began to.

        Raises:
            WorkersRefused: what they are told cannot be done, as the first of them to know says.
        """
        refusals = [asyncio.ensure_future(place.on_refused.wait()) for place in self._places]
        everybody = asyncio.ensure_future(self._everybody_is_ready())
        try:
            await asyncio.wait({everybody, *refusals}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in (everybody, *refusals):
                waiting.cancel()
        if refused := [place.refused for place in self._places if place.on_refused.is_set()]:
            raise WorkersRefused(refused[0])
        return [place.worker.announced for place in self._places if place.worker is not None]

    async def ask(self, index: int, kind: str, body: Body, *, timeout_s: float) -> Body:
        """What the worker in a place answers.

        Raises:
            ChannelLost: nobody is there.
            NotAnswered: it cannot.
            TimeoutError: it did not in time.
        """
        worker = self._places[index - 1].worker
        if worker is None or not worker.ready.is_set():
            raise ChannelLost(f"worker {index} is not ready")
        return await worker.ask(kind, body, timeout_s=timeout_s)

    async def ask_all(self, kind: str, body: Body, *, timeout_s: float) -> dict[int, Body | Failure]:
        """What each answers, by its place; a worker that does not answer keeps nobody from being asked."""
        indexes = [place.index for place in self._places]
        answers = await asyncio.gather(*(self._answer_of(index, kind, body, timeout_s) for index in indexes))
        return dict(zip(indexes, answers, strict=True))

    def roll(self) -> None:
        """Replace all workers, one after the other; once more afterwards if that is under way already."""
        self._roll_asked.set()

    async def drain(self) -> None:
        """Let all workers answer their calls and go; nobody follows them."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.wait(self._keepers)
        # After the keepers: nobody comes any more.
        await asyncio.gather(*(worker.leave(self._patience_s, Company.LEAVES) for worker in tuple(self._alive)))

    def kill_all(self) -> None:
        """End all processes now."""
        for worker in tuple(self._alive):
            worker.kill()

    async def _everybody_is_ready(self) -> None:
        for place in self._places:
            await place.ready.wait()

    async def _answer_of(self, index: int, kind: str, body: Body, timeout_s: float) -> Body | Failure:
        try:
            return await self.ask(index, kind, body, timeout_s=timeout_s)
        except TimeoutError:
            return Failure(f"worker {index} has not answered within {timeout_s:g} s")
        except (ChannelLost, NotAnswered) as error:
            return Failure(str(error))

    async def _roll_when_asked(self) -> None:
        while True:
            await self._roll_asked.wait()
            self._roll_asked.clear()
            log.info("rolling restart begins", workers=len(self._places))
            for place in self._places:
                if not await place.replace(self._patience_s):
                    log.error("rolling restart given up", worker=place.index)
                    break
            else:
                log.info("rolling restart done", workers=len(self._places))

    def _begin(self, index: int) -> Worker:
        handlers = {kind: functools.partial(handler, index) for kind, handler in self._handlers.items()}
        worker = self._begin_process(index, handlers=handlers)
        self._alive.add(worker)
        self._spawn(self._attend(worker))
        return worker

    async def _attend(self, worker: Worker) -> None:
        try:
            await worker.listen()
        except OSError as error:
            log.error("worker killed", worker=worker.index, pid=worker.pid, reason=str(error))  # noqa: TRY400 - it is no bug
            worker.kill()
            await worker.gone.wait()
        finally:
            self._alive.discard(worker)

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        self._tasks.create_task(job)

    async def _heard_leave(self, index: int, _body: Body) -> Body:
        log.info("told to leave", worker=index)
        self.told_to_leave.set()
        return {}

    async def _heard_stuck(self, index: int, body: Body) -> Body:
        place = self._places[index - 1]
        if place.facts().state is WorkerState.READY:
            log.error("worker stuck", worker=index, why=str(body.get("why", ""))[:256])
            place.replace(min(_STUCK_S, self._patience_s))
        return {}
