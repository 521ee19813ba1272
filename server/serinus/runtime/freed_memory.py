"""Gives memory back to the system that a closed model has freed: the C library would keep it for later."""

import ctypes
import sys
from collections.abc import Callable
from typing import Any


def _found() -> Callable[[int], Any] | None:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # not every Linux has glibc


_malloc_trim = _found()


def give_back() -> None:
    """Give back whatever is free in this process. Blocks, 10 ms for 100 MiB: call it on a thread.

    Without it a server that has unloaded a model of 100 MiB holds up to 130 MiB of it, and how much it holds after many
    loads depends on which of the C library's arenas their threads came upon.
    """
    if _malloc_trim is not None:
        _malloc_trim(0)
