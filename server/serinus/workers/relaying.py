"""Has all workers do what one of them was told about a model that no registry knows, in the same order everywhere.

    worker → supervisor   "relay"      an order and the token by which the worker knows it again
    supervisor → worker   "apply"      first to that worker, whose failure ends it; then to the others, all at once
    worker → supervisor   "standing"   what stands, for a worker that has just come: the last order of each model

A worker that starts asks for what stands before it is ready and once more afterwards, so that no order falls between.
"""

import asyncio
import contextlib
import dataclasses
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from serinus.telemetry.logs import get_logger
from serinus.threads import to_thread
from serinus.workers.control import Body, ChannelLost, NotAnswered
from serinus.workers.crew import Crew
from serinus.workers.facts import WorkerState

log = get_logger("serinus.workers")

APPLY: Final = "apply"
MOST_STANDING: Final = 256
"""Models about which an order stands; each may hold the files that a client sent."""


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What is to be done about one model.

    Attributes:
        number: Grows with each order of this supervisor.
        action: "load" or "unload".
        model: Its name.
        config: Counts in place of its configuration file; None for none.
        folder: Where the files lie that a client sent; "" for none. Ours from now on.
    """

    number: int
    action: str
    model: str
    config: str | None
    folder: str

    def body(self) -> Body:
        """As values of JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, body: Body) -> Self:
        """What `body` made, whatever else there is."""
        return cls(body["number"], body["action"], body["model"], body["config"], body["folder"])


class Relays:
    """Orders under way and orders that stand; an async context manager, which ends those under way.

    Orders about one model wait for each other, in every worker the same; others do not.

    Args:
        crew: The workers; there is none yet when this is made.
        timeout_s: What one worker may take for one order.
        remove: Removes a folder, on a thread.
    """

    def __init__(
        self,
        crew: Callable[[], Crew],
        *,
        timeout_s: float,
        most_standing: int = MOST_STANDING,
        remove: Callable[[Path], Any] = lambda folder: shutil.rmtree(folder, ignore_errors=True),
    ) -> None:
        self._crew = crew
        self._timeout_s = timeout_s
        self._most_standing = most_standing
        self._remove = remove
        self._standing: dict[str, Order] = {}
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        self._number = 0
        self._tasks: set[asyncio.Task[Body]] = set()

    def __repr__(self) -> str:
        return f"<Relays [{len(self._standing)} standing, {len(self._tasks)} under way]>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def standing(self) -> Body:
        """The last order of each model, in the order in which they came, for a worker that has just come."""
        orders: Sequence[Order] = sorted(self._standing.values(), key=lambda order: order.number)
        return {"orders": [order.body() for order in orders]}

    async def relay(self, index: int, body: Body) -> Body:
        """Answers a worker that was told: {"failed": why} if nothing was done, else {"missing": why not, by index}.

        Goes on when that worker is gone: what has begun must become the same everywhere.
        """
        task = asyncio.create_task(self._relayed(index, body), name="relay")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _relayed(self, index: int, body: Body) -> Body:
        async with self._turn(body["model"]):
            self._number += 1
            order = Order.of({**body, "number": self._number})
            failure = self._refusal(order) or await self._apply(index, {**order.body(), "token": body["token"]})
            if failure:
                await self._discard(order)
                return {"failed": failure}
            before = self._standing.get(order.model)
            self._standing[order.model] = order
            missing = await self._apply_to_others(index, order)
            if before is not None:
                await self._discard(before)
            if missing:
                log.error("not done by all workers", action=order.action, model=order.model, missing=missing)
            return {"missing": missing}

    def _refusal(self, order: Order) -> str:
        if order.model in self._standing or len(self._standing) < self._most_standing:
            return ""
        return (
            f"{len(self._standing)} models that are not registered were loaded or unloaded by hand, and are remembered "
            f"for workers to come: expected fewer than {self._most_standing}; register them instead"
        )

    async def _apply(self, index: int, body: Body) -> str:
        """Why a worker could not; "" if it could."""
        try:
            await self._crew().ask(index, APPLY, body, timeout_s=self._timeout_s)
        except NotAnswered as error:
            return str(error)
        except ChannelLost:
            return f"worker {index} is going away"
        except TimeoutError:
            return f"worker {index} has taken longer than {self._timeout_s:g} s"
        return ""

    async def _apply_to_others(self, index: int, order: Order) -> dict[str, str]:
        """Why workers could not, by their index; those that are still to start will do it then."""
        others = [
            worker.index
            for worker in self._crew().workers()
            if worker.index != index and worker.state is WorkerState.READY
        ]
        found = await asyncio.gather(*(self._apply(other, order.body()) for other in others))
        gone = {worker.index for worker in self._crew().workers() if worker.state is not WorkerState.READY}
        return {str(other): why for other, why in zip(others, found, strict=True) if why and other not in gone}

    async def _discard(self, order: Order) -> None:
        if order.folder:
            await to_thread(self._remove, Path(order.folder))

    @contextlib.asynccontextmanager
    async def _turn(self, model: str) -> AsyncIterator[None]:
        lock, waiting = self._turns.get(model, (asyncio.Lock(), 0))
        self._turns[model] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns[model]
            if waiting == 1:
                del self._turns[model]
            else:
                self._turns[model] = lock, waiting - 1
