"""Looks at the memory of the process again and again, off the path of calls, and says when its level changes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from serinus.serving.pressure import Pressure
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.memory")

TICK_S: Final = 0.5
"""A server that fills a gigabyte a second has used half of one by the next look; a look costs some 100 us."""


class MemoryWatch:
    """A job that reads and tells `pressure`, until it is cancelled.

    Args:
        pressure: What the layers of the predict path look at.
        read: Bytes in use and the most that may be; (0, 0) if nobody says.
        sleep: Waits between two looks.
    """

    def __init__(
        self,
        pressure: Pressure,
        read: Callable[[], tuple[int, int]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pressure = pressure
        self._read = read
        self._sleep = sleep

    async def __call__(self) -> None:
        """Run until cancelled."""
        while True:
            before = self._pressure.level
            used_bytes, limit_bytes = self._read()
            level = self._pressure.read(used_bytes, limit_bytes)
            if level is not before:
                log.warning(
                    "memory pressure",
                    level=level.name,
                    before=before.name,
                    used_bytes=used_bytes,
                    limit_bytes=limit_bytes,
                )
            await self._sleep(TICK_S)

    def __repr__(self) -> str:
        return f"<MemoryWatch {self._pressure!r}>"
