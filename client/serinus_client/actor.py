"""Who writes, when a caller does not say: the user and the machine of this process."""

import functools
import getpass
import socket


@functools.cache
def default_actor() -> str:
    """`user@host`, as far as this machine knows them."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
