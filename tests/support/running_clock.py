"""A clock that leaves out the moments in which the whole machine stood still.

    python running_clock.py FILE

Writes into FILE when it last ran, and when it could not, until the process that started it is gone.
"""

import functools
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_TICK_S = 0.01
_STILL_S = 0.03  # what a process that only sleeps is late when it is kept waiting by more than its neighbours
_START_S = 60
_HEAD = struct.Struct("<dq")  # when it last ran, by `time.perf_counter`; how often it could not
_STILL = struct.Struct("<dd")  # from when to when it could not
_MOST = 1 << 16


class RunningClock:
    """Seconds during which a process that has nothing to do but to look at the time was able to.

    What is slow by its own fault takes as long as by any other clock: it does not keep that process from running,
    whether it computes, sleeps, or holds the interpreter. A machine that is stopped for a moment, or that has been lent
    to somebody else, keeps all of them.

    Attributes:
        seen: What the process writes.
    """

    def __init__(self, seen: mmap.mmap) -> None:
        self._seen = seen
        self._counted = 0
        self._lost: list[tuple[float, float]] = []
        self._lost_s = 0.0
        self._latest = 0.0

    def now(self) -> float:
        """Seconds; only differences mean something."""
        now, woke = time.perf_counter(), self._look()
        self._latest = max(self._latest, now - self._lost_s - _still_s(woke, now))
        return self._latest

    def stood_s(self, began: float, ended: float) -> float:
        """Seconds between two moments of `time.perf_counter`, of any process, in which the machine stood still."""
        self._look()
        return sum(max(0.0, min(ended, to) - max(began, since)) for since, to in self._lost)

    def _look(self) -> float:
        """Take in what was written since the last time; when the process ran last."""
        woke, count = _HEAD.unpack_from(self._seen)
        for place in range(self._counted, count):
            since, to = _STILL.unpack_from(self._seen, _HEAD.size + place % _MOST * _STILL.size)
            self._lost.append((since, to))
            self._lost_s += to - since
        self._counted = count
        return float(woke)


def _still_s(woke: float, now: float) -> float:
    late_s = now - woke - _TICK_S
    return late_s if late_s > _STILL_S else 0.0


def running_clock() -> RunningClock:
    """A clock that goes from now on."""
    return RunningClock(watched()[0])


@functools.cache
def watched() -> tuple[mmap.mmap, int]:
    """What a process writes, and its pid: one for all tests of this process, because it takes 50 ms to start."""
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(_HEAD.size + _MOST * _STILL.size)
        seen = mmap.mmap(file.fileno(), 0)
        process = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, file.name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        give_up = time.monotonic() + _START_S
        while not _HEAD.unpack_from(seen)[0]:
            assert process.poll() is None, "the process that looks at the time has ended"
            assert time.monotonic() < give_up, "the process that looks at the time does not start"
            time.sleep(_TICK_S)
    process.returncode = 0  # so that nobody wonders why it was not waited for: it ends with this process
    return seen, process.pid


def _watch(file: Path) -> None:
    parent = os.getppid()
    with file.open("r+b") as opened:
        seen = mmap.mmap(opened.fileno(), 0)
    woke, count = time.perf_counter(), 0
    while os.getppid() == parent:
        _HEAD.pack_into(seen, 0, woke, count)
        time.sleep(_TICK_S)
        now = time.perf_counter()
        if still_s := _still_s(woke, now):
            _STILL.pack_into(seen, _HEAD.size + count % _MOST * _STILL.size, now - still_s, now)
            count += 1
        woke = now


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
