"""How late timers run."""

import asyncio

import pytest

from serinus.telemetry.loop_lag import LoopLag


class Clock:
    """A clock that only `sleep` moves: by the time asked for, and by the next lateness; then it cancels its caller."""

    def __init__(self, *late_s: float) -> None:
        self.now = 100.0
        self._late_s = list(late_s)

    async def sleep(self, seconds: float) -> None:
        if not self._late_s:
            raise asyncio.CancelledError
        self.now += seconds + self._late_s.pop(0)


async def test_each_tick_reports_how_late_it_was():
    """The report is the time beyond the tick, and a timer that came early was not late."""
    clock = Clock(0.0, 0.25, -0.001)
    lags: list[float] = []
    job = LoopLag(lags.append, tick_s=0.5, clock=lambda: clock.now, sleep=clock.sleep)
    with pytest.raises(asyncio.CancelledError):
        await job()
    assert lags == [0.0, 0.25, 0.0]
    assert repr(job) == "<LoopLag every 0.5 s>"


async def test_a_blocked_loop_shows_as_lag():
    """On a real loop, work that does not yield delays the timer, and the job says so."""
    lags: asyncio.Queue[float] = asyncio.Queue()
    now = 0.0

    def clock() -> float:
        return now

    async with asyncio.TaskGroup() as group:
        job = group.create_task(LoopLag(lags.put_nowait, tick_s=0.0, clock=clock)())
        await lags.get()
        now += 3.0
        assert max([await lags.get(), await lags.get()]) == 3.0
        job.cancel()
