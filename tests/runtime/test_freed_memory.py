"""Memory that was freed goes back to the system."""

import ctypes
import os
import sys
from pathlib import Path

import pytest

from serinus.runtime.freed_memory import give_back

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


def test_it_can_be_asked_anywhere():
    """Where there is nothing to give back, or no way to do it, nothing happens."""
    give_back()
    give_back()
