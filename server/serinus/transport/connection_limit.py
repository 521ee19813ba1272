"""How many connections may be open at once, so that files are left for everything else."""

import contextlib
import resource
from pathlib import Path
from typing import Final

NO_LIMIT: Final = (1 << 31) - 2  # the most that gRPC takes: it aborts the process at one more
_FEWEST_LEFT = 24  # models and databases that are opened later, pipes, sockets of the HTTP port
_HTTP_PART = 3  # of what is left, one of so many parts is the HTTP port's: eight monitors at least
_MOST_HTTP = 512  # who monitors a server is not a crowd


def most_connections(limit: int, open_files: int) -> int:
    """What connections of gRPC get of the files that may still be opened; a quarter at least stays free of them.

    Without a bound, connections would take the last file, and then nothing works that must open one: no model loads, no
    metric is read, and those who connect hang instead of being turned away.

    Args:
        limit: Most files that the process may have open, or a negative number for no limit.
        open_files: Files that it has open.
    """
    if limit < 0:
        return NO_LIMIT
    free = limit - open_files
    return min(max(1, free - _left(free)), NO_LIMIT)


def most_http_connections(limit: int, open_files: int) -> int:
    """What connections of the HTTP port get of the files that those of gRPC leave; arguments as above."""
    return _MOST_HTTP if limit < 0 else min(_left(limit - open_files) // _HTTP_PART, _MOST_HTTP)


def most_connections_now() -> int:
    """Of gRPC, for this process as it stands."""
    return most_connections(_limit(), _open_files())


def most_http_connections_now() -> int:
    """Of the HTTP port, for this process as it stands."""
    return most_http_connections(_limit(), _open_files())


def _left(free: int) -> int:
    return max(_FEWEST_LEFT, free // 4)


def _limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _open_files() -> int:
    with contextlib.suppress(OSError):
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    return 0
