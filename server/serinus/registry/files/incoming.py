"""A file that is being written and has no name yet: hashed as it grows, gone unless somebody renames it."""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from serinus.registry.files.disk import CHUNK_BYTES, Disk, disk_errors

_READ_ONLY = 0o440
_CLOSED = -1


class Incoming:
    """A file under a temporary name. Its methods take as long as the disk does: they belong on a thread.

    Attributes:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hash = hashlib.sha256()
        self._descriptor = _CLOSED

    def open(self) -> None:
        """Make the file; `discard` must follow, whatever happens."""
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _READ_ONLY)

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append `chunk`."""
        self._hash.update(chunk)
        rest = memoryview(chunk)
        with disk_errors():
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def sync(self, disk: Disk) -> None:
        """Return when the bytes are on the disk; nothing can be appended any more."""
        disk.sync(self._descriptor)
        self._close()

    def discard(self) -> None:
        """Close the file and remove its temporary name, if it still has that."""
        # A disk that does not even remove is swept later.
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)


def sha256_of(path: Path, check: Callable[[], None]) -> str:
    """Hash of the file at `path`; `check` is called between pieces and may raise."""
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            check()
            found.update(chunk)
    return found.hexdigest()
