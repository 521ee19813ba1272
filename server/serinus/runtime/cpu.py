"""How many processors this process may really use: a container sees all of the machine's and may use a part."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath


def cpu_quota(
    root: Path = Path("/sys/fs/cgroup"),
    own_cgroup: Path = Path("/proc/self/cgroup"),
    usable_cpus: int | None = None,
) -> float:
    """Processors' worth of time that this process gets: the tightest of its control groups and its affinity.

    Args:
        root: Where control groups are mounted; version 2, version 1, or both side by side.
        own_cgroup: Names the groups that this process is in.
        usable_cpus: Processors that the scheduler may put this process on; asked of the system when None.
    """
    limits = [float(_affinity() if usable_cpus is None else usable_cpus)]
    for controllers, path in _memberships(own_cgroup):
        if not controllers:
            for base in (root, root / "unified"):
                limits.extend(_limits(base, path, _read_v2))
        elif "cpu" in controllers:
            for base in (root / ",".join(controllers), root / "cpu"):
                limits.extend(_limits(base, path, _read_v1))
    return min(limits)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memberships(own_cgroup: Path) -> Iterator[tuple[list[str], PurePosixPath]]:
    """Each line `id:controllers:/path`; version 2 has no controllers there."""
    try:
        lines = own_cgroup.read_text().splitlines()
    except OSError:
        lines = ["0::/", "1:cpu:/"]
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        yield [name for name in controllers.split(",") if name], PurePosixPath(path)


def _limits(base: Path, path: PurePosixPath, read: Callable[[Path], float | None]) -> Iterator[float]:
    """The limit of the group and of each group above it; all of them hold."""
    # Inside a container the path may be the host's, which does not exist here; then only the mount's root counts.
    parts = [part for part in path.parts if part not in {"/", ".."}]
    for depth in range(len(parts), -1, -1):
        if (limit := read(base.joinpath(*parts[:depth]))) is not None:
            yield limit


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
