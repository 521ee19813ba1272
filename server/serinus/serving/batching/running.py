"""Keeps the runs of one model that are under way: their tasks, their slots, and when each is expected to end."""

import asyncio
import functools
from collections import deque
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
# What is over sooner was not run: its calls had gone, or their time had.
_NOT_RUN = 0.05

# What the quickest of so many runs took, the next one hardly takes less than; unless none has ended for a while.
_RUNS_SHOWN = 8
_LATELY_S = 1.0

# A thread idles 0.1 to 0.3 ms between two runs unless the second one stands ready. Of a longer run that is nothing,
# while a more urgent call that comes meanwhile waits for one run more.
_WORTH_STANDING_READY_S = 0.02


class _Held:
    """A run, and the slot that it has or will have.

    Attributes:
        seconds: That it was predicted to take; 0 if nobody knew.
        start: When it got its slot, in event-loop seconds.
        end: When it is expected to end, in event-loop seconds.
        stands_ready: It has no slot yet.
    """

    __slots__ = ("end", "seconds", "stands_ready", "start")

    def __init__(self, seconds: float, start: float, end: float, *, stands_ready: bool) -> None:
        self.seconds = seconds
        self.start = start
        self.end = end
        self.stands_ready = stands_ready


class RunsUnderWay:
    """The runs of one model, each a task in a group; when one is over, every call of its batch has ended.

    Used as an async context manager; leaving it waits for the runs, and being cancelled meanwhile cancels them.

    Attributes:
        slots: Shared by the models of the process.
        instances: Most runs of this model on slots at once; None if the slots are the only bound.
        wake: Called when there may be a slot where there was none.
        clock: Event-loop time in seconds.
        pace: Seconds that a run holds its slot for each second that it was predicted to take, lately: with what threads
            and the event loop add, and what the machine does besides.
    """

    def __init__(
        self, slots: RunSlots, instances: int | None, wake: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self._slots = slots
        self._most = instances or slots.count + slots.ahead
        self._wake = wake
        self._clock = clock
        self.pace = 1.0
        self._held: list[_Held] = []
        self._shown: deque[tuple[float, float]] = deque(maxlen=_RUNS_SHOWN)  # seconds predicted, times so many taken
        self._shown_at = 0.0
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
        """Runs that hold a slot, or stand ready."""
        return len(self._held)

    @property
    def at_once(self) -> int:
        """Most runs that can be under way."""
        return min(self._most, self._slots.count)

    @property
    def has_machine(self) -> bool:
        """Whether a run that starts now would be the only one in the process, with nobody waiting to start another."""
        return self._slots.is_unused

    def is_full(self) -> bool:
        """Whether this model has all the runs that it may have, whoever holds the slots."""
        return len(self._held) >= self.at_once

    def next_start(self) -> float:
        """When a run that is handed over now would begin, in event-loop seconds, as far as this model's own tell."""
        now, over = self._clock(), len(self._held) - self.at_once
        return now if over < 0 else max(now, sorted([held.end for held in self._held])[over])

    def free(self) -> int:
        """Runs that may start now. If others hold all slots, they wake us; if we do, the end of a run does."""
        own, free = self._most - len(self._held), self._slots.free
        if own > 0 and not free:
            self._slots.call_when_free(self._wake)
        return min(own, free)

    def may_stand_ready(self, seconds: float) -> bool:
        """Whether a run of so many seconds may be handed over although no slot is free, so that none idles after it.

        Only while all slots are this model's: behind another's runs nobody here knows how long it would stand.
        """
        return (
            0.0 < seconds * self.pace <= _WORTH_STANDING_READY_S
            and self._slots.count <= len(self._held) < self._most
            and self._slots.may_stand_ready(self._wake)
        )

    def start_on_slot(self, work: Work, batch: Sequence[Entry], seconds: float) -> None:
        """Start a run that takes a slot and was predicted to take so many seconds; 0 if nobody knows."""
        start = self.next_start()
        held = _Held(seconds, start, start + seconds * self.pace, stands_ready=not self._slots.free)
        self._slots.take()
        self._held.append(held)
        # A callback and not a `finally`: a task that is cancelled before its first step never enters its `try`.
        self.start(work, batch).add_done_callback(functools.partial(self._give_back, held))

    def least_s(self, seconds: float) -> float:
        """What a run that is predicted to take so many seconds takes even if it is as quick as the quickest lately.

        0 when no run has ended lately: what was seen long ago says nothing against the next run. A prediction above all
        that those runs had is not believed: it may have jumped since, because one run was held up.
        """
        if not self._shown or self._clock() - self._shown_at > _LATELY_S:
            return 0.0
        return min(seconds, max(predicted for predicted, _ in self._shown)) * min(shown for _, shown in self._shown)

    def start(self, work: Work, batch: Sequence[Entry]) -> asyncio.Task[None]:
        """Start a run without a slot."""
        task = self._tasks.create_task(_contained(work))
        task.add_done_callback(functools.partial(_end_all, batch))
        return task

    def _give_back(self, held: _Held, _task: asyncio.Task[None]) -> None:
        now = self._clock()
        self._held.remove(held)
        shown = (now - held.start) / held.seconds if held.seconds > 0 else 0.0
        if shown > _NOT_RUN:
            self.pace += _WEIGHT * (min(max(shown, _FASTEST), _SLOWEST) - self.pace)
            self._shown.append((held.seconds, shown))
            self._shown_at = now
        if (ready := next((other for other in self._held if other.stands_ready), None)) is not None:
            ready.stands_ready, ready.start, ready.end = False, now, now + ready.seconds * self.pace
        self._slots.give_back()  # those who asked before us go first
        self._wake()

    def __repr__(self) -> str:
        return f"<RunsUnderWay {len(self._held)}/{self._most}>"


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
