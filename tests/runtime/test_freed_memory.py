"""Memory that was freed goes back to the system."""

import ctypes
import os
import sys
from pathlib import Path

import pytest

from serinus.runtime.freed_memory import FreedMemory, give_back

_BLOCK_BYTES = 100_000  # small enough to come from the heap
_BLOCKS = 640
_ALL_BYTES = _BLOCK_BYTES * _BLOCKS


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc can be asked"
)
def test_what_lies_free_below_something_in_use_goes_back():
    """The heap cannot shrink below a block that is in use, yet the pages before it are given back."""
    blocks = [bytes([1]) * _BLOCK_BYTES for _ in range(_BLOCKS)]
    in_use = blocks.pop()
    blocks.clear()
    held = _resident_bytes()
    give_back()
    assert _resident_bytes() < held - _ALL_BYTES // 2
    assert len(in_use) == _BLOCK_BYTES


async def test_small_models_have_it_given_back_together():
    """Memory is given back when enough was freed since the last time, and not for each model."""
    given_back: list[int] = []
    closed: list[int] = []
    freed = FreedMemory(lambda: given_back.append(len(closed)), worth_bytes=100)
    for size_bytes in [40] * 7:
        closed.append(size_bytes)
        await freed.add(size_bytes)
    assert given_back == [3, 6]


async def test_a_large_model_has_it_given_back_at_once():
    """A model that is worth it alone waits for no other."""
    given_back: list[str] = []
    freed = FreedMemory(lambda: given_back.append("all"), worth_bytes=100)
    await freed.add(100)
    assert given_back == ["all"]
    assert repr(freed) == "<FreedMemory 0 of 100 bytes>"
