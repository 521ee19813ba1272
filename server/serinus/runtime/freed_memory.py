"""Gives memory back to the system that models and calls have freed: the C library would keep it for later.

Without it a server that has unloaded a model of 100 MiB holds up to 130 MiB of it, and how much it holds after many
loads depends on which of the C library's arenas their threads came upon. A wave of calls leaves tens of MiB behind.
"""

import ctypes
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from serinus.threads import to_thread

_WORTH_BYTES = 32 << 20  # giving back for each small model slowed loading and its neighbours' calls by a third

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h
_OWN_BLOCK_BYTES: Final = 4 << 20
"""Blocks from here on are the system's own and go back when they are freed. Each has to be mapped anew: with blocks of
2 MiB, calls of that size took 4 % more processor time."""


class _MallInfo(ctypes.Structure):
    """`struct mallinfo2` of malloc.h."""

    _fields_ = (("before", ctypes.c_size_t * 8), ("fordblks", ctypes.c_size_t), ("keepcost", ctypes.c_size_t))


def _found(name: str) -> Callable[..., Any] | None:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), name, None)  # not every Linux has glibc


_malloc_trim = _found("malloc_trim")
_mallopt = _found("mallopt")
_mallinfo = _found("mallinfo2")  # in glibc since 2.33
if _mallinfo is not None:
    _mallinfo.restype = _MallInfo  # type: ignore[attr-defined]  # of a function of ctypes


def keep_little(processors: float, environ: Mapping[str, str] = os.environ) -> bool:
    """Let the C library keep little of what is freed, from now on; False if none can be told, or was told otherwise.

    By itself glibc learns from the largest block that is freed, up to 32 MiB: from then on such blocks come from its
    arenas, eight for each processor, and at the end of each but the first it keeps up to twice as much, where
    `give_back` does not reach. Six calls of 14 MiB at once left up to 100 MiB behind for good, and calls of all shapes
    10 to 16. To be called while there are few threads: arenas that there are stay.

    Args:
        processors: That this process may use: so many arenas, and two at least.
        environ: What an operator says to the C library has precedence.
    """
    if _mallopt is None or "glibc.malloc" in environ.get("GLIBC_TUNABLES", "") or _says_how(environ):
        return False
    wanted = {
        _M_MMAP_THRESHOLD: _OWN_BLOCK_BYTES,
        _M_TRIM_THRESHOLD: 2 * _OWN_BLOCK_BYTES,
        _M_ARENA_MAX: max(2, math.ceil(processors)),
    }
    return all(_mallopt(parameter, value) for parameter, value in wanted.items())


def _says_how(environ: Mapping[str, str]) -> bool:
    return any(name.startswith("MALLOC_") for name in environ)


def give_back() -> None:
    """Give back whatever is free in this process. Blocks, 10 ms for 100 MiB: call it on a thread."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def free_bytes() -> int:
    """What is free in this process and may be given back, or was; 0 where nobody says. Takes milliseconds."""
    return int(_mallinfo().fordblks) if _mallinfo is not None else 0


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
            await to_thread(self._give_back)
