"""Gives memory back to the system that models and calls have freed: the C library would keep it for later.

Without it a server that has unloaded a model of 100 MiB holds up to 130 MiB of it, and how much it holds after many
loads depends on which of the C library's arenas their threads came upon. A wave of calls leaves tens of MiB behind.
"""

import asyncio
import ctypes
import sys
from collections.abc import Callable
from typing import Any

_WORTH_BYTES = 32 << 20  # giving back for each small model slowed loading and its neighbours' calls by a third


def _found() -> Callable[[int], Any] | None:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # not every Linux has glibc


_malloc_trim = _found()


def give_back() -> None:
    """Give back whatever is free in this process. Blocks, 10 ms for 100 MiB: call it on a thread."""
    if _malloc_trim is not None:
        _malloc_trim(0)


class FreedMemory:
    """What closed models have freed since the last time that memory was given back.

    Args:
        give_back: Does it; blocks.
        worth_bytes: When to do it.
    """

    def __init__(self, give_back: Callable[[], None] = give_back, *, worth_bytes: int = _WORTH_BYTES) -> None:
        self._give_back = give_back
        self._worth_bytes = worth_bytes
        self._freed_bytes = 0

    def __repr__(self) -> str:
        return f"<FreedMemory {self._freed_bytes} of {self._worth_bytes} bytes>"

    async def add(self, size_bytes: int) -> None:
        """Count a model of that size, which is closed; give all back if that is worth it by now."""
        self._freed_bytes += size_bytes
        if self._freed_bytes >= self._worth_bytes:
            self._freed_bytes = 0
            await asyncio.to_thread(self._give_back)
