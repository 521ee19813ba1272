"""How late the event loop runs its timers, which is how long everything that waits for it waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

DEFAULT_TICK_S: Final = 0.1
"""A stall of S seconds is seen as at least S - tick, whenever it happens: one of 200 ms never shows as less than 100.
Ten wake-ups a second of a loop that is awake anyway cost about 0.05 % of a core; of an idle one up to 0.2 %, most of it
the kernel's. Ten times as many would find shorter stalls, and make an idle server pay ten times that."""


class LoopLag:
    """A job that sleeps, compares, and reports how much longer the sleep took, until it is cancelled.

    Args:
        report: Called once a tick with seconds >= 0, such as `Metrics.loop_lag`.
        tick_s: Seconds to sleep.
        clock: A monotonic clock in seconds. Not the loop's: uvloop reads that one once per iteration, in milliseconds.
        sleep: Sleeps on the loop that is measured.
    """

    def __init__(
        self,
        report: Callable[[float], None],
        *,
        tick_s: float = DEFAULT_TICK_S,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._report = report
        self._tick_s = tick_s
        self._clock = clock
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"<LoopLag every {self._tick_s} s>"

    async def __call__(self) -> None:
        """Run until cancelled."""
        while True:
            began = self._clock()
            await self._sleep(self._tick_s)
            self._report(max(self._clock() - began - self._tick_s, 0.0))
