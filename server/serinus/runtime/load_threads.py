"""The threads on which models are loaded: few, behind the event loop, and given up when they take too long."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from serinus.core.errors import ModelRejected
from serinus.runtime.pool import step_back
from serinus.threads import short_turns

T = TypeVar("T")


class LoadThreads:
    """Runs loads, each on a thread of its own, at most some at once.

    A load cannot be interrupted. One that nobody waits for any more keeps its place until it ends or its time is over;
    one whose time is over gives its place up and goes on beside the others. What they make in the end is discarded.

    Attributes:
        at_once: Loads at once; further ones wait, in the order in which they came.
        timeout_s: What a load may take, from when its thread starts.
        most_stuck: While so many go on although their time is over, no other one starts.
    """

    def __init__(self, *, at_once: int = 1, timeout_s: float = 300.0, most_stuck: int = 4) -> None:
        self.timeout_s = timeout_s
        self.stuck = 0
        self.places = asyncio.Semaphore(at_once)
        self._most_stuck = most_stuck

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn"]:
        """A place for one load, once one is free.

        Raises:
            ModelRejected: LOADS_STUCK, because too many loads never came back.
        """
        await self.places.acquire()
        turn = Turn(self)
        try:
            if self.stuck >= self._most_stuck:
                raise ModelRejected(
                    f"{self.stuck} earlier loads took longer than {self.timeout_s:g} s and still go on: expected fewer"
                    f" than {self._most_stuck}; a server that is started anew is rid of them",
                    reason="LOADS_STUCK",
                )
            yield turn
        finally:
            turn.end()

    def __repr__(self) -> str:
        return f"<LoadThreads {self.stuck} stuck{', all taken' if self.places.locked() else ''}>"


class Turn:
    """A place for one load."""

    def __init__(self, threads: LoadThreads) -> None:
        self._threads = threads
        self._is_used = False

    async def run(self, work: Callable[[], T], *, name: str, discard: Callable[[T], None]) -> T:
        """What `work` returns or raises, called on a thread of its own; once in a turn.

        Args:
            work: Blocks.
            name: Of the thread, after "load-".
            discard: Gets what `work` made when nobody waits for it any more; on the event loop.

        Raises:
            ModelRejected: LOAD_TIMEOUT, because it took too long.
        """
        load = _Load(self._threads, work, discard)
        # A daemon: a load that never returns must not keep the process from ending.
        threading.Thread(target=load.live, name=f"load-{name}", daemon=True).start()
        self._is_used = True  # from now on the load gives the place back
        load.watch()  # only now: if there is no thread to be had, nothing is overdue
        return await load.outcome()

    def end(self) -> None:
        """Give the place back, unless a load runs on it that will."""
        if not self._is_used:
            self._threads.places.release()


class _Load(Generic[T]):
    """One load: running → over, or running → stuck → over."""

    def __init__(self, threads: LoadThreads, work: Callable[[], T], discard: Callable[[T], None]) -> None:
        self._threads = threads
        self._work = work
        self._discard = discard
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[T] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._is_stuck = False

    def watch(self) -> None:
        """Give it up when its time is over; to be called on the event loop, before that has heard of its end."""
        self._timer = self._loop.call_later(self._threads.timeout_s, self._overdue)

    def live(self) -> None:
        """The thread's life."""
        step_back()
        # A loop that has closed meanwhile has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            try:
                with short_turns():
                    made = self._work()
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to who waits, not to this thread
                self._loop.call_soon_threadsafe(self._failed, error)
            else:
                self._loop.call_soon_threadsafe(self._succeeded, made)

    async def outcome(self) -> T:
        """What comes of it."""
        try:
            return await self._outcome
        except asyncio.CancelledError:
            if not self._outcome.cancelled() and self._outcome.exception() is None:
                self._discard(self._outcome.result())  # it came at the very moment at which its caller went
            raise

    def _succeeded(self, made: T) -> None:
        self._over()
        if self._outcome.done():
            self._discard(made)
        else:
            self._outcome.set_result(made)

    def _failed(self, error: BaseException) -> None:
        self._over()
        if not self._outcome.done():
            # A future refuses StopIteration, and its caller would wait for ever.
            is_settable = not isinstance(error, StopIteration)
            self._outcome.set_exception(error if is_settable else RuntimeError(f"a load raised {error!r}"))

    def _over(self) -> None:
        assert self._timer is not None, "watched since its thread started: this is a bug"
        self._timer.cancel()
        if self._is_stuck:
            self._threads.stuck -= 1
        else:
            self._threads.places.release()

    def _overdue(self) -> None:
        self._is_stuck = True
        self._threads.stuck += 1
        self._threads.places.release()
        if not self._outcome.done():
            self._outcome.set_exception(
                ModelRejected(f"took longer than {self._threads.timeout_s:g} s to load", reason="LOAD_TIMEOUT")
            )
