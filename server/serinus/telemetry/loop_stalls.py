"""Who holds the event loop: said by a thread, which still runs while nothing else of the process does.

It says so in the server's log, and there alone: where code stands is no caller's business. Functions and lines are
named, no paths and no values.
"""

import contextlib
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final

from serinus.telemetry.logs import get_logger
from serinus.telemetry.loop_lag import DEFAULT_TICK_S, LoopLag

log = get_logger("serinus.loop")

STALL_S: Final = 1.0
"""Ten times the lag that callers may see: by then something was called that has no business on the loop."""

THREAD: Final = "loop-watch"

_LOOKS = (
    4  # in the shortest stall, so that it is seen a quarter of it late at most; four wake-ups a second cost nothing
)
_FRAMES = 24  # the innermost; those further out are the loop's own and the start of the process
_ENDING_S = 1.0  # for a thread that waits for nothing but the stream of the log


class StallWatch:
    """A job like `LoopLag`, that also logs what holds the loop when it has not ticked for `stall_s`.

    Each stall is logged once while it lasts, and once with its length when it is over. A process that gets no further
    thread goes without.

    Args:
        report: Called once a tick with seconds >= 0, as of `LoopLag`.
        stall_s: How long the loop must stand.
        tick_s: Seconds between ticks.
        clock: A monotonic clock in seconds, which any thread may ask.
    """

    def __init__(
        self,
        report: Callable[[float], None],
        *,
        stall_s: float = STALL_S,
        tick_s: float = DEFAULT_TICK_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._stall_s = stall_s
        self._tick_s = tick_s
        self._clock = clock
        self._ticked = math.inf  # what holds the loop before its first tick is the start of the process
        self._said_of = -1.0  # the tick that a stall was logged after

    def __repr__(self) -> str:
        return f"<StallWatch {self._stall_s} s>"

    async def __call__(self) -> None:
        """Run until cancelled."""
        with self._watched(threading.get_ident()):
            await LoopLag(self._tick, tick_s=self._tick_s)()

    def _tick(self, late_s: float) -> None:
        now, before = self._clock(), self._ticked
        self._ticked = now
        if self._said_of == before:
            log.warning("event loop goes on", stood_s=round(now - before, 3))
        self._report(late_s)

    @contextlib.contextmanager
    def _watched(self, loop_thread: int) -> Iterator[None]:
        over = threading.Event()
        # A daemon: a log that nobody reads must not keep the process.
        thread = threading.Thread(target=self._watch, args=(loop_thread, over), name=THREAD, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("event loop not watched", trouble=str(error))
            yield
            return
        try:
            yield
        finally:
            over.set()
            thread.join(_ENDING_S)

    def _watch(self, loop_thread: int, over: threading.Event) -> None:
        while not over.wait(self._stall_s / _LOOKS):
            self.look(loop_thread)

    def look(self, loop_thread: int) -> None:
        """Log what that thread does if the loop has stood for too long, and this has not been said; from any thread."""
        ticked = self._ticked
        stood_s = self._clock() - ticked
        if stood_s < self._stall_s or self._said_of == ticked:
            return
        # Taken before it is said that it was: the loop may go on at any moment.
        stack = stack_of(sys._current_frames().get(loop_thread))  # noqa: SLF001 - the documented way to another's stack
        self._said_of = ticked
        log.warning("event loop stands", stood_s=round(stood_s, 3), stack=stack)


def stack_of(innermost: FrameType | None) -> Sequence[str]:
    """Of a frame and those that called it, the innermost first: "module.function:line" each."""
    found: list[str] = []
    while innermost is not None and len(found) < _FRAMES:
        module = innermost.f_globals.get("__name__", "?")
        found.append(f"{module}.{innermost.f_code.co_qualname}:{innermost.f_lineno}")
        innermost = innermost.f_back
    return found
