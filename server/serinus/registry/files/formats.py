"""What a file really is, whatever its name says: code and what runs code when it is read is recognised by its bytes.

Nothing here opens such files as what they are. They are refused all the same, so that a registry is no place to hand
them on. Weights are arbitrary bytes, so each sign is long enough not to turn up in them by chance.
"""

import struct
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from serinus.registry.files.bundle import unsafe

_HEAD_BYTES = 4096
_PICKLE_FRAME = 0x95
_PICKLE_STOP = b"."
_LONGEST_HEADER = 10_000  # numpy's own bound
_MEMBERS = 10_000
_PE_OFFSET = 0x3C
_ELF = b"\x7fELF"
_MACH = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_NUMPY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"


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
    opened.seek(0)
    try:
        major, _ = np.lib.format.read_magic(opened)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        _, _, dtype = read(opened, max_header_size=_LONGEST_HEADER)
    except (ValueError, EOFError):
        return False  # no array at all; whoever needs one will say so
    return bool(dtype.hasobject)


def _check_archive(opened: IO[bytes], path: str) -> None:
    """An archive is data only where it is arrays alone, as `numpy.savez` writes them."""
    opened.seek(0)
    try:
        with zipfile.ZipFile(opened) as archive:
            members = archive.infolist()
            if len(members) > _MEMBERS or not all(member.filename.endswith(".npy") for member in members):
                raise unsafe(path, "an archive of something else than arrays")
            for member in members:
                # Opening reads some bytes at a time: what claims to be huge is not unpacked.
                with archive.open(member) as array:
                    if _holds_objects(array):
                        raise unsafe(path, "an archive with an array of Python objects")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise unsafe(path, "an archive that cannot be read") from error
