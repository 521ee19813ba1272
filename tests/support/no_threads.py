"""A process that gets no further thread, for a moment."""

import contextlib
import threading
from collections.abc import Iterator

_ADDRESSES = 1 << 47  # bytes of stack for one thread: all that a process could ever have


@contextlib.contextmanager
def no_threads() -> Iterator[None]:
    """Threads cannot be started in the block, and Python says so as where the system's limit is reached."""
    before = threading.stack_size(_ADDRESSES)
    try:
        yield
    finally:
        threading.stack_size(before)
