"""Memory that was freed goes back to the system."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serinus.runtime.freed_memory import FreedMemory, free_bytes, give_back, keep_little

_BLOCK_BYTES = 100_000  # small enough to come from the heap
_BLOCKS = 640
_ALL_BYTES = _BLOCK_BYTES * _BLOCKS


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


only_glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc can be asked"
)

# Each thread, and with it each arena, allocates two blocks while all others do, and then frees them.
_LARGE_CALLS = """
import resource, threading
from serinus.runtime.freed_memory import give_back, keep_little

assert keep_little(2, {})
together, over = threading.Barrier(5), threading.Event()

def resident_bytes():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def call():
    for _ in range(10):
        together.wait()
        blocks = [bytearray(14 << 20), bytearray(14 << 20)]
        together.wait()
        del blocks
    together.wait()
    over.wait()

before = resident_bytes()
for _ in range(4):
    threading.Thread(target=call).start()
for _ in range(21):
    together.wait()
give_back()
print(resident_bytes() - before)
over.set()
"""


@only_glibc
def test_large_blocks_go_back_whichever_arena_they_are_of():
    """Without being told, glibc keeps a block for each of four threads, and giving back does not reach it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    found = subprocess.run([sys.executable, "-c", _LARGE_CALLS], check=True, capture_output=True, env=environ)
    assert int(found.stdout) < 14 << 20


@pytest.mark.parametrize(
    "environ", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}]
)
def test_what_an_operator_says_of_memory_stands(environ: dict[str, str]):
    """The C library has been told; what it keeps is no business of ours any more."""
    assert not keep_little(2, environ)


@only_glibc
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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="only glibc from 2.33 on can be asked")
def test_what_is_free_is_told_until_it_is_taken_again():
    """Also after it was given back."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    blocks = [ctypes.c_void_p(libc.malloc(_BLOCK_BYTES)) for _ in range(_BLOCKS)]
    in_use_bytes = free_bytes()
    for block in blocks[:-1]:  # not the last one: the end of the heap would be given back at once
        libc.free(block)
    freed_bytes = free_bytes()
    give_back()
    given_bytes = free_bytes()
    libc.free(blocks[-1])
    assert freed_bytes - in_use_bytes > _ALL_BYTES // 2
    assert given_bytes - in_use_bytes > _ALL_BYTES // 2
