"""Threads beside the event loop: how they leave it its turns, and how Python says that it gets no further one."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_SENTENCE = "can't start new thread"

# Python's own 5 ms is what the event loop waits for the interpreter where a thread computes, anew after each call of
# the system that it makes. In four of five loads of 100 MiB its longest stall fell from 3 to 5 ms to 1.3 ms. Only while
# there is work beside it: what shorter turns cost otherwise is not known.
_SHORT_S = 0.001


class _Turns:
    """Counts who needs short ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._needing = 0
        self._usual_s = sys.getswitchinterval()

    def add(self, change: int) -> None:
        with self._lock:
            self._needing += change
            sys.setswitchinterval(_SHORT_S if self._needing else self._usual_s)


_turns = _Turns()  # one of the process, as the interpreter's own setting is


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Let Python's threads take turns more often than usual: for a thread beside the event loop, around its work.

    A block, or called on a function: that function in such a block.
    """
    _turns.add(1)
    try:
        yield
    finally:
        _turns.add(-1)


async def to_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `work`, from one of the event loop's threads, which takes short turns.

    Whoever is cancelled leaves the thread behind, and its result with it.
    """
    return await asyncio.to_thread(short_turns()(work), *args, **kwargs)


class OwnThread:
    """One thread for what is asked again and again and must not wait until others' work is done.

    A block: the thread is there when it begins, and ends with it, or with what it does then.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool = ThreadPoolExecutor(1, name)

    def __enter__(self) -> Self:
        """Start the thread; RuntimeError if none can be had."""
        self._pool.submit(int).result()
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.shutdown(wait=False)

    def asked(self, question: Callable[[], T]) -> Callable[[], Awaitable[T]]:
        """The same question for the event loop, answered on this thread."""

        async def answer() -> T:
            return await asyncio.get_running_loop().run_in_executor(self._pool, question)

        return answer

    def __repr__(self) -> str:
        return f"<OwnThread {self._name}>"


def is_out_of_threads(error: BaseException) -> bool:
    """Whether nothing went wrong but that Python got no thread, which it says by a sentence, for want of a type.

    Threads that there are go on, and a later try has a chance.
    """
    return isinstance(error, RuntimeError) and str(error) == _SENTENCE
