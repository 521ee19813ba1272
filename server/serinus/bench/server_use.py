"""What server processes cost: processor time and memory, as the kernel counts them."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PARENT, _TIMES = 1, slice(11, 15)  # fields of /proc/PID/stat behind the name: ppid; utime, stime, cutime, cstime


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """What processes have used so far, or between two looks.

    Attributes:
        cpu_s: User and system time of all their threads, those of children that have ended included.
        memory_bytes: Resident memory; what processes share counts for each.
    """

    cpu_s: float
    memory_bytes: int

    def since(self, before: "Use") -> "Use":
        """The processor time between two looks, and the memory at the later one."""
        return Use(self.cpu_s - before.cpu_s, self.memory_bytes)


class Meter(Protocol):
    """Something whose use can be read."""

    def use(self) -> Use:
        """Up to now."""


class ProcessTree:
    """A process of this machine and all processes below it: a supervisor and its workers.

    Args:
        pid: The one at the top.
        proc: The kernel's view of processes.
    """

    def __init__(self, pid: int, *, proc: Path = Path("/proc")) -> None:
        self.pid = pid
        self._proc = proc

    def __repr__(self) -> str:
        return f"<ProcessTree {self.pid} [{len(self.pids())} processes]>"

    def use(self) -> Use:
        """Up to now; a process that ended a moment ago counts once its parent has taken note.

        Raises:
            ProcessLookupError: the process at the top is gone.
        """
        cpu_s, memory_bytes = 0.0, 0
        for pid in self.pids():
            fields = self._stat(pid)
            if fields is not None:
                cpu_s += sum(map(int, fields[_TIMES])) / _TICKS_PER_S
                memory_bytes += self._memory_bytes(pid)
        return Use(cpu_s, memory_bytes)

    def pids(self) -> list[int]:
        """The process at the top first.

        Raises:
            ProcessLookupError: it is gone.
        """
        if self._stat(self.pid) is None:
            raise ProcessLookupError(f"there is no process {self.pid}")
        children: dict[int, list[int]] = {}
        for pid in self._all():
            fields = self._stat(pid)
            if fields is not None:
                children.setdefault(int(fields[_PARENT]), []).append(pid)
        found = [self.pid]
        for pid in found:
            found.extend(children.get(pid, ()))
        return found

    def _all(self) -> Iterable[int]:
        return (int(entry.name) for entry in self._proc.iterdir() if entry.name.isdigit())

    def _stat(self, pid: int) -> list[str] | None:
        try:
            return (self._proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None

    def _memory_bytes(self, pid: int) -> int:
        try:
            return int((self._proc / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES
        except (FileNotFoundError, ProcessLookupError):
            return 0
