"""How many processors this process may really use: a container sees all of the machine's and may use a part."""

import os
from pathlib import Path

from serinus.runtime.control_groups import OWN, ROOT, groups


def cpu_quota(
    root: Path = ROOT,
    own_cgroup: Path = OWN,
    usable_cpus: int | None = None,
) -> float:
    """Processors' worth of time that this process gets: the tightest of its control groups and its affinity.

    Args:
        root: Where control groups are mounted; version 2, version 1, or both side by side.
        own_cgroup: Names the groups that this process is in.
        usable_cpus: Processors that the scheduler may put this process on; asked of the system when None.
    """
    limits = [float(_affinity() if usable_cpus is None else usable_cpus)]
    for version, group in groups("cpu", root, own_cgroup):
        if (limit := _READ[version](group)) is not None:
            limits.append(limit)
    return min(limits)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_v2(group: Path) -> float | None:
    return _ratio(_words(group / "cpu.max"))


def _read_v1(group: Path) -> float | None:
    return _ratio(_words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us"))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _ratio(words: list[str]) -> float | None:
    """Quota over period; None where nothing limits (`max`, -1) or nothing is said."""
    try:
        quota, period = (int(word) for word in words)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


_READ = {1: _read_v1, 2: _read_v2}
