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

T = TypeVar("T")

_Job = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]

NICER = (
    5  # a third of the event loop's share: answers keep flowing while all threads compute, other programs keep going
)
STOP_S = 5.0  # a run that hangs must not hold up the end of the process


class ComputePool:
    """Threads that run models; as many as there are processors, so that many models do not crowd each other out.

    A context manager: threads start on entry; on exit the work that is queued still runs, then they stop.
    The queue has no bound of its own: whoever calls `run` decides how many runs it starts at once.

    Args:
        threads: How many, at least 1.
    """

    def __init__(self, threads: int) -> None:
        self.threads = max(1, threads)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # Daemons: a model that never returns must not keep the process from ending.
        self._workers = [
            threading.Thread(target=_work, args=(self._jobs,), name=f"compute-{index}", daemon=True)
            for index in range(self.threads)
        ]
        self._closed = False

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for _worker in self._workers:
            self._jobs.put(None)
        give_up = time.monotonic() + STOP_S
        for worker in self._workers:
            worker.join(max(0.0, give_up - time.monotonic()))

    def __repr__(self) -> str:
        return f"<ComputePool [{self.threads} threads, queued {self._jobs.qsize()}]>"

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, called on one of the threads.

        A caller that is cancelled leaves at once: work that has not started is skipped, a result is dropped.
        """
        assert not self._closed, "the pool is closed: this is a bug"
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((work, future, loop))
        return await future


def _work(jobs: queue.SimpleQueue[_Job | None]) -> None:
    """One thread's life."""
    step_back()
    while (job := jobs.get()) is not None:
        work, future, loop = job
        if not future.cancelled():
            _call(work, future, loop)
        # An idle thread must not keep the last request's tensors alive.
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
