"""Where the kernel says what this process's control groups limit, in version 1 and 2 and inside containers."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/sys/fs/cgroup")
"""Where control groups are mounted; version 2, version 1, or both side by side."""

OWN = Path("/proc/self/cgroup")
"""Names the groups that this process is in."""


def groups(controller: str, root: Path = ROOT, own: Path = OWN) -> Iterator[tuple[int, Path]]:
    """The version and folder of each group whose limits hold: the process's own, and those above it.

    Some of the folders may not exist.

    Args:
        controller: Such as "cpu".
        root: As `ROOT`.
        own: As `OWN`.
    """
    for controllers, path in _memberships(own, controller):
        if not controllers:
            for base in (root, root / "unified"):
                yield from ((2, group) for group in _with_those_above(base, path))
        elif controller in controllers:
            for base in (root / ",".join(controllers), root / controller):
                yield from ((1, group) for group in _with_those_above(base, path))


def _memberships(own: Path, controller: str) -> Iterator[tuple[list[str], PurePosixPath]]:
    """Each line `id:controllers:/path`; version 2 has no controllers there."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = ["0::/", f"1:{controller}:/"]
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        yield [name for name in controllers.split(",") if name], PurePosixPath(path)


def _with_those_above(base: Path, path: PurePosixPath) -> Iterator[Path]:
    # Inside a container the path may be the host's, which does not exist here; then only the mount's root counts.
    parts = [part for part in path.parts if part not in {"/", ".."}]
    for depth in range(len(parts), -1, -1):
        yield base.joinpath(*parts[:depth])
