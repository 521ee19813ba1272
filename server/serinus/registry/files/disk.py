"""What is asked of the disk beyond reading and writing, how it says no, and how a thread that asks is waited for."""

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from serinus.core.errors import StoreFull, StoreUnavailable
from serinus.telemetry.logs import get_logger
from serinus.threads import to_thread

P = ParamSpec("P")
T = TypeVar("T")

CHUNK_BYTES: Final = 1 << 20
"""Read, hashed and written at a time: large enough for the disk, small enough to stop soon."""
PRIVATE_FOLDER: Final = 0o700

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_log = get_logger(__name__)


class Disk:
    """The calls whose order decides what a power loss leaves behind; tests put a recording one in its place."""

    def sync(self, file: int) -> None:
        """Return when everything written to the open `file` is on the disk."""
        os.fsync(file)

    def rename(self, source: Path, target: Path) -> None:
        """Give `source` the name `target` in one step, whatever had that name before."""
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """Return when the names in `folder` are on the disk."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Say in words what the disk refuses.

    Raises:
        StoreFull: there is no room.
        StoreUnavailable: it cannot be read or written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StoreFull(
                "there is no room on the server's disk for these files; nothing of them was kept"
            ) from error
        _log.error("the disk refused", error=errno.errorcode.get(error.errno or 0, type(error).__name__))
        raise StoreUnavailable("the server's disk cannot be read or written now") from error


class Stopped(Exception):
    """The caller of a thread is gone; the thread cleans up and ends."""


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `work`, from a thread, which is never left behind: a caller that is cancelled waits for its end.

    What follows a cancellation, such as removing a folder, would otherwise race with the thread.
    """
    return await _finish(asyncio.ensure_future(to_thread(work, *args, **kwargs)), threading.Event())


async def in_stoppable_thread(work: Callable[[Callable[[], None]], T]) -> T:
    """As `in_thread`, for long work: it calls what it is given often, which raises Stopped after a cancel."""
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise Stopped

    return await _finish(asyncio.ensure_future(to_thread(work, check)), stop)


async def _finish(running: asyncio.Future[T], stop: threading.Event) -> T:
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError as error:
            stop.set()
            cancelled = error
    if cancelled is not None:
        if not running.cancelled():
            running.exception()  # looked at, so that nobody warns about it
        raise cancelled
    return running.result()
