"""Keeps the runs of one model that are under way: their tasks, their slots, and when each is expected to end."""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Self

from serinus.core.errors import Draining, ModelFailed
from serinus.serving.batching.batch_queue import Entry
from serinus.serving.batching.slots import RunSlots

Work = Callable[[], Coroutine[None, None, None]]

# Each run moves the pace by a tenth of what it shows: ten runs tell, and a single one that was held up does not. What a
# run can show is bounded: one that hangs is no measure of the machine.
_WEIGHT = 0.1
_FASTEST, _SLOWEST = 0.5, 10.0


class RunsUnderWay:
    """The runs of one model, each a task in a group; when one is over, every call of its batch has ended.

    Used as an async context manager; leaving it waits for the runs, and being cancelled meanwhile cancels them.

    Attributes:
        slots: Shared by the models of the process.
        instances: Most runs of this model on slots at once.
        wake: Called when there may be a slot where there was none.
        clock: Event-loop time in seconds.
        pace: Seconds that a run holds its slot for each second that it was predicted to take, lately: with what threads
            and the event loop add, and what the machine does besides.
    """

    def __init__(self, slots: RunSlots, instances: int, wake: Callable[[], None], clock: Callable[[], float]) -> None:
        self._slots = slots
        self._instances = instances
        self._wake = wake
        self._clock = clock
        self.pace = 1.0
        self._ends: list[float] = []
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.forget(self._wake)
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, trace)
        else:
            # Another error inside the block is no reason to break runs off, nor to be wrapped into a group.
            await self._tasks.__aexit__(None, None, None)

    @property
    def count(self) -> int:
        """Runs that hold a slot."""
        return len(self._ends)

    @property
    def at_once(self) -> int:
        """Most runs that can be under way."""
        return min(self._instances, self._slots.count)

    @property
    def has_machine(self) -> bool:
        """Whether a run that starts now would be the only one in the process, with nobody waiting to start another."""
        return self._slots.is_unused

    def is_full(self) -> bool:
        """Whether this model has all the runs that it may have, whoever holds the slots."""
        return len(self._ends) >= self._instances

    def next_end(self) -> float:
        """When the first of the runs is expected to end, in event-loop seconds; there is one."""
        return min(self._ends)

    def free(self) -> int:
        """Runs that may start now. If others hold all slots, they wake us; if we do, the end of a run does."""
        own = self._instances - len(self._ends)
        if own > 0 and not self._slots.free:
            self._slots.call_when_free(self._wake)
        return min(own, self._slots.free)

    def start_on_slot(self, work: Work, batch: Sequence[Entry], seconds: float) -> None:
        """Start a run that takes a slot and was predicted to take so many seconds; 0 if nobody knows."""
        self._slots.take()
        start = self._clock()
        end = start + seconds * self.pace
        self._ends.append(end)
        # A callback and not a `finally`: a task that is cancelled before its first step never enters its `try`.
        self.start(work, batch).add_done_callback(functools.partial(self._give_back, start, end, seconds))

    def start(self, work: Work, batch: Sequence[Entry]) -> asyncio.Task[None]:
        """Start a run without a slot."""
        task = self._tasks.create_task(_contained(work))
        task.add_done_callback(functools.partial(_end_all, batch))
        return task

    def _give_back(self, start: float, end: float, seconds: float, _task: asyncio.Task[None]) -> None:
        self._ends.remove(end)
        if seconds > 0:
            shown = min(max((self._clock() - start) / seconds, _FASTEST), _SLOWEST)
            self.pace += _WEIGHT * (shown - self.pace)
        self._slots.give_back()  # those who asked before us go first
        self._wake()

    def __repr__(self) -> str:
        return f"<RunsUnderWay {len(self._ends)}/{self._instances}>"


async def _contained(work: Work) -> None:
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - a bug in one run must not end the others through the task group
        context = {"message": "a batch run broke off", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def _end_all(batch: Sequence[Entry], task: asyncio.Task[None]) -> None:
    """End what the run of a batch left open, because it was cancelled or by a bug."""
    for entry in batch:
        if not entry.answer.done():
            cut_off = Draining("the model stopped serving while the call ran")
            entry.fail(cut_off if task.cancelled() else ModelFailed("the run broke off"))
