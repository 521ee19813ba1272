"""The job that looks at the process's memory."""

import asyncio
import contextlib

import pytest

from serinus.app.memory_pressure import TICK_S, MemoryWatch
from serinus.serving.pressure import Pressure, PressureLevel
from tests.support.fakes import answering
from tests.support.virtual_loop import virtual


class Spare:
    """Memory of which a test says how much is free; notes what was asked."""

    def __init__(self, free: int = 0) -> None:
        self.free = free
        self.asked: list[str] = []

    async def give_back(self) -> bool:
        self.asked.append("now")
        found, self.free = self.free, 0
        return bool(found)

    async def give_back_when_idle(self) -> bool:
        self.asked.append("when idle")
        return False


async def looked(pressure: Pressure, uses: list[int], spare: Spare) -> list[PressureLevel]:
    """The level after each look at a process that uses so much of 100, of which some may be free."""
    seen: list[PressureLevel] = []
    rest = iter(uses)
    used = next(rest)

    async def sleep(_seconds: float) -> None:
        nonlocal used
        seen.append(pressure.level)
        if (following := next(rest, None)) is None:
            raise asyncio.CancelledError
        used = following

    with contextlib.suppress(asyncio.CancelledError):
        await MemoryWatch(pressure, answering(lambda: (used + spare.free, 100)), spare, sleep=sleep)()
    return seen


async def test_memory_that_is_free_makes_nobody_be_refused():
    """It is given back first; the level tells what is left then."""
    spare = Spare(free=30)
    assert await looked(Pressure(high=0.9, full=0.95), [70, 70], spare) == [PressureLevel.NORMAL] * 2
    assert spare.asked == ["now", "when idle"]


async def test_memory_that_is_in_use_raises_the_level_all_the_same():
    """What calls free meanwhile is given back while the level stands."""
    spare = Spare(free=1)
    high, full, normal = PressureLevel.HIGH, PressureLevel.FULL, PressureLevel.NORMAL
    assert await looked(Pressure(high=0.9, full=0.95), [93, 97, 92, 80], spare) == [high, full, high, normal]
    assert spare.asked == ["now", "now", "now", "when idle"]


@virtual
async def test_each_look_moves_the_level():
    """Twice a second, until it is cancelled."""
    uses = {0.0: 10, 0.5: 92, 1.0: 97, 1.5: 10}
    seen: list[tuple[float, PressureLevel]] = []
    pressure = Pressure(high=0.9, full=0.95)

    async def sleep(seconds: float) -> None:
        seen.append((asyncio.get_running_loop().time(), pressure.level))
        await asyncio.sleep(seconds)

    now = asyncio.get_running_loop().time
    job = asyncio.create_task(MemoryWatch(pressure, answering(lambda: (uses[now()], 100)), Spare(), sleep=sleep)())
    await asyncio.sleep(3.5 * TICK_S)
    job.cancel()
    await asyncio.wait([job])
    normal, high, full = PressureLevel
    assert seen == [(0.0, normal), (0.5, high), (1.0, full), (1.5, normal)]
    assert job.cancelled()


class SlowSpare(Spare):
    """Gives nothing back, after a second; what is used meanwhile is another number.

    Attributes:
        used: Of 100, now.
        seen: The level while it is waited for.
    """

    def __init__(self, pressure: Pressure, *uses: int) -> None:
        super().__init__()
        self.used, self._then = uses
        self.seen: list[PressureLevel] = []
        self._pressure = pressure

    async def give_back(self) -> bool:
        await asyncio.sleep(1.0)
        self.seen.append(self._pressure.level)
        self.used = self._then
        return False

    async def give_back_when_idle(self) -> bool:
        return await self.give_back()


@virtual
@pytest.mark.parametrize(
    ("uses", "meanwhile", "told"),
    [
        pytest.param((92, 97), PressureLevel.NORMAL, PressureLevel.FULL, id="it rises meanwhile"),
        pytest.param((97, 50), PressureLevel.FULL, PressureLevel.NORMAL, id="full is told at once"),
        pytest.param((50, 97), PressureLevel.NORMAL, PressureLevel.FULL, id="also when it was idle"),
    ],
)
async def test_a_level_is_that_of_now_however_long_giving_back_takes(
    uses: tuple[int, int], meanwhile: PressureLevel, told: PressureLevel
):
    """No thread may be had for it; there may be no time to wait for one."""
    pressure = Pressure(high=0.9, full=0.95)
    spare = SlowSpare(pressure, *uses)
    job = asyncio.create_task(MemoryWatch(pressure, answering(lambda: (spare.used, 100)), spare)())
    await asyncio.sleep(1.0 + TICK_S / 2)
    job.cancel()
    await asyncio.wait([job])
    assert (spare.seen, pressure.level) == ([meanwhile], told)
