"""Ends listening alone: connections go on, and new ones find whoever else listens on the port.

gRPC's server can only end as a whole. On Linux a socket that listens can be told to stop by whoever has a descriptor of
it; gRPC's acceptor then takes itself for closed.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


def stop_listening(port: int) -> int:
    """End every TCP socket of this process that listens on `port`; gives how many there were."""
    ended = 0
    for listener in _listeners(port):
        # Connections that were established and not yet taken are reset: there are none, or few.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RD)
            ended += 1
    return ended


def _listeners(port: int) -> Iterator[socket.socket]:
    """Sockets of their own that share a listener with whoever made it."""
    for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - numbers, not paths
        try:
            copy = os.dup(int(name))
        except OSError:
            continue  # closed meanwhile
        try:
            found = socket.socket(fileno=copy)
        except OSError:
            os.close(copy)  # no socket
            continue
        with found, contextlib.suppress(OSError):
            is_tcp = found.family in {socket.AF_INET, socket.AF_INET6} and found.type is socket.SOCK_STREAM
            if is_tcp and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and found.getsockname()[1] == port:
                yield found
