"""Runs a command and lets nothing of it live longer than itself: `keeper.py COMMAND …`.

Servers leave daemons in process groups and sessions of their own. Whatever loses its parent below this process becomes
its child, so all of it can be counted and ended; and it ends all of it when it is asked to, when the command ends, and
when whoever started it dies.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from serinus.bench.server_use import ProcessTree

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_GRACE_S = 4.0  # twice this is less than what whoever ends this process waits before it kills
_STEP_S = 0.05


def main() -> None:
    """Run the command until it ends or somebody says so."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    parent = os.getppid()
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return  # it died before it could be watched
    first = 0
    try:
        first = subprocess.Popen(sys.argv[1:], start_new_session=True).pid
        while os.wait()[0] != first:
            pass
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        # The command first: most end what is below them, if they are given the time.
        _end(signal.SIGTERM, lambda: [pid for pid in _below() if pid == first])
        _end(signal.SIGKILL, _below)


def _end(number: signal.Signals, pids: Callable[[], list[int]]) -> None:
    """Signal them until there are none any more, or time is up."""
    until, asked = time.monotonic() + _GRACE_S, set[int]()
    while (left := pids()) and time.monotonic() < until:
        for pid in left:
            if pid not in asked:
                asked.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(_STEP_S)


def _below() -> list[int]:
    return ProcessTree(os.getpid()).pids()[1:]


if __name__ == "__main__":
    main()
