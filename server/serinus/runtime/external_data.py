"""Opens the files that hold a model's weights, and nothing else: only plain files of the model's own folder.

onnxruntime never opens them itself. It gets the contents of the very files that were checked here, so that nobody
can put another file in their place between the check and the use.
"""

import errno
import mmap
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx

from serinus.core.errors import ModelRejected

Buffer = bytes | mmap.mmap

_MEMORY_MARKER = "_ORT_MEM_ADDR_"  # makes onnxruntime read its own memory at an address from the file


def map_external_data(folder: Path, tensors: Iterable[onnx.TensorProto]) -> Mapping[str, Buffer]:
    """Contents by location, for all of `tensors` that have their values in another file.

    Raises:
        ModelRejected: a location leaves the folder or is not a plain file, or a tensor lies outside its file.
    """
    contents: dict[str, Buffer] = {}
    for tensor in tensors:
        if not _is_external(tensor):
            continue
        said = {entry.key: entry.value for entry in tensor.external_data}
        location = said.get("location", "")
        if location not in contents:
            contents[location] = _map(folder, _parts(location))
        _range(said, len(contents[location]))
    return contents


def embed_external_data(tensors: Iterable[onnx.TensorProto], contents: Mapping[str, Buffer]) -> int:
    """Put the contents into those of `tensors` that have them in another file; how many that were."""
    embedded = 0
    for tensor in filter(_is_external, tensors):
        said = {entry.key: entry.value for entry in tensor.external_data}
        content = contents[said["location"]]
        start, stop = _range(said, len(content))
        tensor.raw_data = content[start:stop]
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        embedded += 1
    return embedded


def _is_external(tensor: onnx.TensorProto) -> bool:
    # Either sign counts: a half-written tensor must not slip through.
    return tensor.data_location == onnx.TensorProto.EXTERNAL or bool(tensor.external_data)


def _parts(location: str) -> list[str]:
    """The folders and the file that `location` names."""
    if _MEMORY_MARKER in location:
        raise _forbidden("points into memory")
    if not location or "\0" in location:
        raise _forbidden("names no file")
    # Backslashes and colons separate on other systems only; no exporter writes them.
    if location.startswith("/") or "\\" in location or ":" in location:
        raise _forbidden("is not a path below the model's folder")
    parts = [part for part in location.split("/") if part not in {"", "."}]
    if ".." in parts or not parts:
        raise _forbidden("leaves the model's folder")
    return parts


def _map(folder: Path, parts: list[str]) -> Buffer:
    """Walk down without following a link, one folder at a time."""
    try:
        above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        for name in parts[:-1]:
            try:
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
            finally:
                os.close(above)
            above = below
        try:
            # Non-blocking, because opening a pipe would wait for its writer.
            file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=above)
        finally:
            os.close(above)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise ModelRejected(f"the model's external data file {parts[-1][:64]!r} is missing") from error
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise _forbidden("goes through a symbolic link, or through a file as if it were a folder") from error
        raise ModelRejected(f"the model's external data cannot be opened: {error.strerror}") from error
    try:
        return _contents(file)
    finally:
        os.close(file)


def _contents(file: int) -> Buffer:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        raise _forbidden("is not a plain file")
    if status.st_nlink > 1:
        raise _forbidden("is a hard link to a file that has other names")
    if not status.st_size:
        return b""
    return mmap.mmap(file, status.st_size, access=mmap.ACCESS_READ)


def _range(said: Mapping[str, str], size_bytes: int) -> tuple[int, int]:
    """First byte, and the one after the last."""
    try:
        offset, length = int(said.get("offset", "0")), int(said.get("length", "0"))
    except ValueError as error:
        raise ModelRejected("the model's external data has an offset or a length that is not a number") from error
    if offset < 0 or length < 0 or offset + length > size_bytes:
        raise ModelRejected(
            f"the model's external data lies outside its file: expected at most {size_bytes} bytes,"
            f" got offset {offset} and length {length}"
        )
    return offset, offset + length if "length" in said else size_bytes


def _forbidden(what: str) -> ModelRejected:
    return ModelRejected(f"the location of the model's external data {what}", reason="EXTERNAL_DATA_FORBIDDEN")
