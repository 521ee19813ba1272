"""What a process gives up before it touches a file that it must not trust. It cannot be taken back.

None of this is a wall against code of an attacker's own; it bounds what a damaged or hostile model can use up.
"""

import contextlib
import ctypes
import os
import resource
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIGKILL = 9
_MOST_FILES = 256  # libraries of a GPU open many
_LOWEST_PRIORITY = 10  # of the processor's time; what serves goes first


def enter_sandbox(parent: int, cpu_s: int) -> None:
    """Give up what a load does not need. Call it first, while there is one thread.

    Args:
        parent: Process that this one must not outlive.
        cpu_s: Seconds of processor time after which the system kills this process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # Without a network, where that may be asked for: an ordinary user needs a user namespace of its own.
    if libc.unshare(_CLONE_NEWNET):
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # After the namespaces, which undo it.
    libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() not in {parent, 0}:  # 0: the parent is outside of what this process sees
        os._exit(os.EX_TEMPFAIL)
    os.nice(_LOWEST_PRIORITY)
    with contextlib.suppress(OSError):
        # If memory of the machine runs out, this process goes, and not the server.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _lower(resource.RLIMIT_NOFILE, _MOST_FILES)
    _lower(resource.RLIMIT_CPU, cpu_s)
    # No limit on processes: the system counts those of the whole user, so that any number could be too small.


def limit_memory(memory_bytes: int) -> None:
    """Let this process take no more than `memory_bytes` beyond what it has now.

    Private writable memory is counted, not address space, which GPU libraries reserve without using it.
    """
    _lower(resource.RLIMIT_DATA, status_bytes("VmData") + memory_bytes)


def status_bytes(name: str) -> int:
    """A figure of this process as the kernel tells it, such as `VmHWM`, the most memory that it had."""
    # Not getrusage: its maximum starts with that of the process that made this one.
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) << 10
    return 0


def _lower(limit: int, value: int) -> None:
    """Set a limit, unless a lower one holds already."""
    _, hardest = resource.getrlimit(limit)
    value = value if hardest == resource.RLIM_INFINITY else min(value, hardest)
    resource.setrlimit(limit, (value, value))
