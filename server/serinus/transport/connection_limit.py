"""How many connections may be open at once, so that files are left for everything else."""

import contextlib
import resource
from pathlib import Path
from typing import Final

NO_LIMIT: Final = (1 << 31) - 2  # the most that gRPC takes: it aborts the process at one more
_FEWEST_LEFT = 24  # models and databases that are opened later, pipes, sockets of the HTTP port


def most_connections(limit: int, open_files: int) -> int:
    """What connections get of the files that may still be opened; the others, a quarter at least, stay free.

    Without a bound, connections would take the last file, and then nothing works that must open one: no model loads, no
    metric is read, and those who connect hang instead of being turned away.

    Args:
        limit: Most files that the process may have open, or a negative number for no limit.
        open_files: Files that it has open.
    """
    if limit < 0:
        return NO_LIMIT
    free = limit - open_files
    return min(max(1, free - max(_FEWEST_LEFT, free // 4)), NO_LIMIT)


def most_connections_now() -> int:
    """The same for this process as it stands."""
    return most_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _open_files())


def _open_files() -> int:
    with contextlib.suppress(OSError):
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    return 0
