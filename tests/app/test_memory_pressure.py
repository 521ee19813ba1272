"""The job that looks at the process's memory."""

import asyncio

from serinus.app.memory_pressure import TICK_S, MemoryWatch
from serinus.serving.pressure import Pressure, PressureLevel
from tests.support.virtual_loop import virtual


@virtual
async def test_each_look_moves_the_level():
    """Twice a second, until it is cancelled."""
    uses = iter([10, 92, 97, 10, 10])
    seen: list[tuple[float, PressureLevel]] = []
    pressure = Pressure(high=0.9, full=0.95)

    async def sleep(seconds: float) -> None:
        seen.append((asyncio.get_running_loop().time(), pressure.level))
        await asyncio.sleep(seconds)

    job = asyncio.create_task(MemoryWatch(pressure, lambda: (next(uses), 100), sleep=sleep)())
    await asyncio.sleep(3.5 * TICK_S)
    job.cancel()
    await asyncio.wait([job])
    normal, high, full = PressureLevel
    assert seen == [(0.0, normal), (0.5, high), (1.0, full), (1.5, normal)]
    assert job.cancelled()
