"""Opens files below a folder and nothing else: plain ones, through no link, with one name only.

It also reads large files into memory, and gives such memory back, without holding the other threads up.
"""

import errno
import mmap
import os
import stat
from collections.abc import Sequence
from pathlib import Path

Buffer = bytes | mmap.mmap
"""Contents of a file; what is large is mapped."""

_LARGE_BYTES = 1 << 20  # below this a copy costs less than a map
# What is read, and given back, at once. The kernel hardly lets others run while it copies: one read of 100 MB held the
# event loop for 70 ms on a busy machine of two processors, such reads for 7; giving back holds Python's lock.
_READ_BYTES, _GIVEN_BACK_BYTES = 1 << 18, 1 << 20


class NotPlain(Exception):
    """What was named is not a plain file below the folder; the text says what it is, as the end of a sentence."""


def read_whole(path: Path, most_bytes: int | None = None) -> Buffer:
    """A copy of the file's contents, which nobody else can change.

    Args:
        path: Of the file.
        most_bytes: What it should hold at most; one byte more is read, as a sign, and no further ones.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if most_bytes is not None:
            size_bytes = min(size_bytes, most_bytes + 1)
        if size_bytes < _LARGE_BYTES:
            return file.read(-1 if most_bytes is None else most_bytes + 1)
        content = mmap.mmap(-1, size_bytes)
        position = 0
        with memoryview(content) as view:
            while position < size_bytes and (got := file.readinto(view[position : position + _READ_BYTES])):
                position += got
    return content if position == size_bytes else content[:position]


def release(content: Buffer) -> None:
    """Give memory back that nobody will read again, bit by bit: other threads wait while it is done."""
    if isinstance(content, bytes) or content.closed:
        return
    for start in range(0, len(content), _GIVEN_BACK_BYTES):
        content.madvise(mmap.MADV_DONTNEED, start, min(_GIVEN_BACK_BYTES, len(content) - start))
    content.close()


def map_plain_file(folder: Path, parts: Sequence[str]) -> Buffer:
    """The contents of the file that `parts` lead to, without reading it; b"" for an empty one.

    Args:
        folder: Where to start; itself trusted.
        parts: Names of folders and of the file; never "", "." or "..".

    Raises:
        NotPlain: it goes through a link, is a link or no file, or has other names as well.
        OSError: it is missing or cannot be opened.
    """
    file = _open(folder, parts)
    try:
        return _contents(file)
    finally:
        os.close(file)


def _open(folder: Path, parts: Sequence[str]) -> int:
    """Walk down without following a link, one folder at a time."""
    above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in parts[:-1]:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
            os.close(above)
            above = below
        # Non-blocking, because opening a pipe would wait for its writer.
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=above)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise NotPlain("goes through a symbolic link, or through a file as if it were a folder") from error
        raise
    finally:
        os.close(above)


def _contents(file: int) -> Buffer:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        raise NotPlain("is not a plain file")
    if status.st_nlink > 1:
        raise NotPlain("is a hard link to a file that has other names")
    if not status.st_size:
        return b""
    return mmap.mmap(file, status.st_size, access=mmap.ACCESS_READ)
