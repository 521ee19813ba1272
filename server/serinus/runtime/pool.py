"""The one pool of threads that run models, at a lower priority than the event loop."""

import asyncio
import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

from serinus.core.errors import ModelFailed
from serinus.runtime.runs import RunHooks, RunsInProgress
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.runs")

T = TypeVar("T")

_Job = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]

NICER = (
    5  # a third of the event loop's share: answers keep flowing while all threads compute, other programs keep going
)
STOP_S = 5.0  # a run that hangs must not hold up the end of the process
MOST_LOST = 16  # threads given up; each holds a model's memory, and maybe a processor


class ComputePool:
    """Threads that run models; as many as there are processors, so that many models do not crowd each other out.

    A context manager: threads start on entry; on exit the work that is queued still runs, then they stop.
    The queue has no bound of its own: whoever calls `run` decides how many runs it starts at once.

    Args:
        threads: How many, at least 1.
        hooks: Told about each run: in slots 0 to `threads` - 1, in slot `threads` for those of the thread that enters
            the pool, and in those behind for threads that took the place of others.

    Attributes:
        runs: What runs on these threads.
    """

    def __init__(self, threads: int, *, hooks: RunHooks | None = None) -> None:
        self.threads = max(1, threads)
        self.runs = RunsInProgress(hooks)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._workers = [_Worker(self._jobs, self.runs, slot, f"compute-{slot}") for slot in range(self.threads)]
        self._lost = 0
        self._closed = False

    def __enter__(self) -> Self:
        self.runs.take_unwatched_seat(self.threads)
        for worker in self._workers:
            worker.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self.runs.leave()
        for _worker in self._workers:
            self._jobs.put(None)
        give_up = time.monotonic() + STOP_S
        for worker in self._workers:
            worker.thread.join(max(0.0, give_up - time.monotonic()))

    def __repr__(self) -> str:
        lost = f", lost {self._lost}" if self._lost else ""
        return f"<ComputePool [{self.threads} threads{lost}, queued {self._jobs.qsize()}]>"

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, called on one of the threads.

        A caller that is cancelled leaves at once: work that has not started is skipped, a result is dropped.

        Raises:
            ModelFailed: RUN_ENDED, because its thread was given up.
        """
        assert not self._closed, "the pool is closed: this is a bug"
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((work, future, loop))
        return await future

    def replace(self, thread: str) -> bool:
        """Give a thread up, by its name, whose work does not end, and start another in its place.

        Whoever waits for its work waits no longer. The thread goes on until its work ends, if it ever does.

        Returns:
            False if no thread of the pool has that name, too many were given up, or the system gives no other one:
            then it stays the pool's, should its work end after all.
        """
        for index, worker in enumerate(self._workers):
            if worker.thread.name == thread and not self._closed and self._lost < MOST_LOST:
                # A slot of its own: should the process die of the lost run, the old one still says what that was.
                lost = self._lost + 1
                other = _Worker(self._jobs, self.runs, self.threads + lost, f"compute-{index}.{lost}")
                try:
                    other.thread.start()
                except RuntimeError as error:
                    log.warning("thread not replaced", thread=thread, trouble=str(error))
                    return False
                self._lost, self._workers[index] = lost, other
                worker.give_up()
                return True
        return False


class _Worker:
    """One thread, and what it does."""

    def __init__(self, jobs: queue.SimpleQueue[_Job | None], runs: RunsInProgress, slot: int, name: str) -> None:
        self.slot = slot
        # A daemon: a model that never returns must not keep the process from ending.
        self.thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._jobs = jobs
        self._runs = runs
        self._job: _Job | None = None
        self._is_lost = False

    def give_up(self) -> None:
        """Let whoever waits for its work go, and take no further work."""
        self._is_lost = True
        if (job := self._job) is not None:
            _, future, loop = job
            ended = ModelFailed("the run did not end", reason="RUN_ENDED")
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_fail, future, ended)

    def _live(self) -> None:
        step_back()
        self._runs.take_seat(self.slot)
        while not self._is_lost:
            job = self._jobs.get()
            if self._is_lost:
                self._jobs.put(job)  # it is for those who are left
            elif job is None:
                return
            else:
                self._job = job
                work, future, loop = job
                if not future.cancelled():
                    _call(work, future, loop)
                # An idle thread must not keep the last request's tensors alive.
                self._job = None
                del job, work, future, loop


def _call(work: Callable[[], Any], future: "asyncio.Future[Any]", loop: asyncio.AbstractEventLoop) -> None:
    # A loop that has closed meanwhile has nobody left who waits.
    with contextlib.suppress(RuntimeError):
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller, not to this thread
            loop.call_soon_threadsafe(_fail, future, error)
        else:
            loop.call_soon_threadsafe(_succeed, future, result)


def _succeed(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):
        # A future refuses it, and its caller would wait for ever.
        error = RuntimeError(f"work raised {error!r}")
    future.set_exception(error)


def step_back() -> None:
    """Let the calling thread stand back behind the event loop for the rest of its life."""
    # Only Linux gives each thread a priority of its own; elsewhere the same call would slow the whole process.
    if sys.platform == "linux":
        thread_id = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread_id, os.getpriority(os.PRIO_PROCESS, thread_id) + NICER)
