"""How much memory this process may have and how much of it is used: by its control groups, or else by the machine."""

import os
from collections.abc import Iterator
from pathlib import Path

from serinus.runtime import control_groups

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_FILES = {
    2: ("memory.current", "memory.max", ("inactive_file", "active_file")),
    1: ("memory.usage_in_bytes", "memory.limit_in_bytes", ("total_inactive_file", "total_active_file")),
}
_NO_LIMIT = 1 << 60  # version 1 writes a number that no machine has


def memory_use(
    root: Path = control_groups.ROOT, own: Path = control_groups.OWN, proc: Path = Path("/proc")
) -> tuple[int, int]:
    """Bytes in use, and the most that may be: of the control group that is nearest to its limit.

    Pages of files do not count, because the kernel takes them back when it needs memory, and not before: whoever
    has read its models twice would seem to be at its limit for ever. Without a control group that limits memory it
    is what the process has, and that with what the machine has left. (0, 0) where nobody says.
    """
    found = list(_limited(root, own))
    if found:
        return max(found, key=lambda use: use[0] / use[1])
    resident = _number(proc / "self" / "statm", word=1) * _PAGE_BYTES
    available = _fields(proc / "meminfo").get("MemAvailable:", 0) * 1024
    return (resident, resident + available) if resident and available else (0, 0)


def _limited(root: Path, own: Path) -> Iterator[tuple[int, int]]:
    for version, group in control_groups.groups("memory", root, own):
        used_file, limit_file, page_fields = _FILES[version]
        limit = _number(group / limit_file)
        if 0 < limit < _NO_LIMIT:
            stat = _fields(group / "memory.stat")
            used = _number(group / used_file) - sum(stat.get(field, 0) for field in page_fields)
            yield max(used, 0), limit


def _number(file: Path, *, word: int = 0) -> int:
    """One of the words of a file as a number; 0 for a file that does not exist, and for "max"."""
    try:
        return int(file.read_text().split()[word])
    except (OSError, ValueError, IndexError):
        return 0


def _fields(file: Path) -> dict[str, int]:
    """Lines such as `name 123`, with or without a unit behind."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}
