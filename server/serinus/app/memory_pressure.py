"""Looks at the memory of the process again and again, off the path of calls, and says when its level changes.

Memory that is merely free is no reason to refuse anybody: it is given back before the level rises, unless so little is
left that there may be no time for that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from serinus.serving.pressure import Pressure, PressureLevel
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.memory")

TICK_S: Final = 0.5
"""A server that fills a gigabyte a second has used half of one by the next look; a look costs some 100 us."""


class Spare(Protocol):
    """What is free in this process and not yet the system's again; both return in a second or two."""

    async def give_back(self) -> bool:
        """Whether it was given back now; it is not each time that somebody asks."""
        ...

    async def give_back_when_idle(self) -> bool:
        """The same if there is something to give back and nothing to do by now."""
        ...


class MemoryWatch:
    """A job that reads and tells `pressure`, until it is cancelled.

    Args:
        pressure: What the layers of the predict path look at.
        read: Bytes in use and the most that may be; (0, 0) if nobody says. Asks the system for a dozen files.
        spare: What could be given back.
        sleep: Waits between two looks.
    """

    def __init__(
        self,
        pressure: Pressure,
        read: Callable[[], Awaitable[tuple[int, int]]],
        spare: Spare,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pressure = pressure
        self._read = read
        self._spare = spare
        self._sleep = sleep

    async def __call__(self) -> None:
        """Run until cancelled."""
        while True:
            used_bytes, limit_bytes = await self._read()
            foreseen = self._pressure.foreseen(used_bytes, limit_bytes)
            if foreseen is PressureLevel.FULL:
                self._tell(used_bytes, limit_bytes)  # to give back may take longer than the rest lasts
            # Also while the level stands: what refused and answered calls have freed ends it sooner.
            if foreseen is PressureLevel.NORMAL:
                await self._spare.give_back_when_idle()
            else:
                await self._spare.give_back()
            self._tell(*await self._read())  # a second may have passed, also where nothing was given back
            await self._sleep(TICK_S)

    def _tell(self, used_bytes: int, limit_bytes: int) -> None:
        before = self._pressure.level
        level = self._pressure.read(used_bytes, limit_bytes)
        if level is not before:
            log.warning(
                "memory pressure",
                level=level.name,
                before=before.name,
                used_bytes=used_bytes,
                limit_bytes=limit_bytes,
            )

    def __repr__(self) -> str:
        return f"<MemoryWatch {self._pressure!r}>"
