"""What a file really is, whatever its name says: code and what runs code when it is read is recognised by its bytes.

Nothing here opens such files as what they are. They are refused all the same, so that a registry is no place to hand
them on. Weights are arbitrary bytes, so each sign is long enough not to turn up in them by chance.
"""

import io
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from serinus.registry.files.bundle import unsafe

_HEAD_BYTES = 4096
_PICKLE_FRAME = 0x95
_PICKLE_STOP = b"."
_LONGEST_HEADER = 10_000  # numpy's own bound
_HEADER_BYTES = 12 + _LONGEST_HEADER  # the sign, the format's version and the header's length stand before it
_MEMBERS = 10_000
_LONGEST_DIRECTORY_BYTES = 2 << 20  # names of that many arrays; zipfile reads all of it before anything can be counted
_PE_OFFSET = 0x3C
_ELF = b"\x7fELF"
_MACH = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_NUMPY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
# What numpy does about headers that are no Python literals, beside what it says.
_NO_ARRAY = (ValueError, EOFError, TypeError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError)
# What zipfile raises (RuntimeError: encrypted), and what unpacks its members.
_DAMAGED = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError,
    OSError, struct.error,
)  # fmt: skip
_PACKINGS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # others let a file choose how much is allocated


def check_format(file: Path, path: str) -> None:
    """Look at the bytes of `file`, which stands at `path` in its bundle. Takes a disk's time: belongs on a thread.

    Raises:
        ModelRejected: it is a pickle, an archive that may hold one, an array of objects, or a library (UNSAFE_FORMAT).
    """
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
        if _is_library(head):
            raise unsafe(path, "a library")
        if _is_pickle(head, opened):
            raise unsafe(path, "a pickle")
        if head.startswith(_NUMPY) and _holds_objects(opened):
            raise unsafe(path, "an array of Python objects")
        if head.startswith(_ZIP):
            _check_archive(opened, path)


def _is_library(head: bytes) -> bool:
    if head.startswith((_ELF, *_MACH)):
        return True
    if not head.startswith(b"MZ") or len(head) < _PE_OFFSET + 4:
        return False
    (offset,) = struct.unpack_from("<I", head, _PE_OFFSET)
    return head[offset : offset + 4] == b"PE\0\0"


def _is_pickle(head: bytes, opened: IO[bytes]) -> bool:
    """Protocol 2 and later; the older ones are text like any other, and known by their names alone."""
    if len(head) < 3 or head[0] != 0x80 or head[1] not in {2, 3, 4, 5}:  # noqa: PLR2004 - the protocol's numbers
        return False
    opened.seek(-1, 2)
    return head[2] == _PICKLE_FRAME or opened.read(1) == _PICKLE_STOP


def _holds_objects(opened: IO[bytes]) -> bool:
    """Whether an array is one of Python objects; also if its header is longer than any that is read here."""
    opened.seek(0)
    # A copy of the first bytes: numpy would read as many as the header says that it is long.
    start = opened.read(_HEADER_BYTES)
    head = io.BytesIO(start)
    try:
        major, _ = np.lib.format.read_magic(head)
        if int.from_bytes(start[8 : 10 if major == 1 else 12], "little") > _LONGEST_HEADER:
            return True
        # 3.0 is 2.0 in UTF-8, which only names of fields need.
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        _, _, dtype = read(head, max_header_size=_LONGEST_HEADER)
    except _NO_ARRAY:
        return False  # no array at all; whoever needs one will say so
    return bool(dtype.hasobject)


class _Sparing(io.RawIOBase):
    """An archive of which no more is read at once than an honest directory is long."""

    def __init__(self, opened: IO[bytes]) -> None:
        super().__init__()
        self._opened = opened

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._opened.seek(offset, whence)

    def tell(self) -> int:
        return self._opened.tell()

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._opened.read(_LONGEST_DIRECTORY_BYTES + 1 if size < 0 else min(size, _LONGEST_DIRECTORY_BYTES + 1))
        if len(chunk) > _LONGEST_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its directory is too long")
        return chunk


def _check_archive(opened: IO[bytes], path: str) -> None:
    """An archive is data only where it is arrays alone, as `numpy.savez` writes them."""
    try:
        with zipfile.ZipFile(_Sparing(opened)) as archive:
            members = archive.infolist()
            if len(members) > _MEMBERS or not all(member.filename.endswith(".npy") for member in members):
                raise unsafe(path, "an archive of something else than arrays")
            if any(member.compress_type not in _PACKINGS for member in members):
                raise unsafe(path, "an archive that is packed in an unusual way")
            for member in members:
                # Opening reads some bytes at a time: what claims to be huge is not unpacked.
                with archive.open(member) as array:
                    if _holds_objects(array):
                        raise unsafe(path, "an archive with an array of Python objects")
    except _DAMAGED as error:
        raise unsafe(path, "an archive that cannot be read") from error
