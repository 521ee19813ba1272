"""Finds the files that hold a model's weights, and nothing else: only those that belong to the model.

onnxruntime never opens them itself. It gets the contents of the very files that were checked here, so that nobody
can put another file in their place between the check and the use.
"""

from collections.abc import Iterable, Mapping

import onnx

from serinus.core.errors import ModelRejected
from serinus.runtime.plain_files import Buffer, NotPlain
from serinus.runtime.sources import SourceFiles

_MEMORY_MARKER = "_ORT_MEM_ADDR_"  # makes onnxruntime read its own memory at an address from the file


def map_external_data(files: SourceFiles, tensors: Iterable[onnx.TensorProto]) -> Mapping[str, Buffer]:
    """Contents by location, for all of `tensors` that have their values in another file.

    Raises:
        ModelRejected: a location leaves the model's folder or is not a plain file, or a tensor lies outside its file.
        DataLost: a file is not what was registered.
    """
    contents: dict[str, Buffer] = {}
    for tensor in tensors:
        if not _is_external(tensor):
            continue
        said = {entry.key: entry.value for entry in tensor.external_data}
        location = said.get("location", "")
        if location not in contents:
            contents[location] = _weights(files, location)
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


def _weights(files: SourceFiles, location: str) -> Buffer:
    parts = _parts(location)
    try:
        return files.weights(parts)
    except NotPlain as error:
        raise _forbidden(str(error)) from error
    except FileNotFoundError as error:
        raise ModelRejected(f"the model's external data file {parts[-1][:64]!r} is missing") from error
    except OSError as error:
        raise ModelRejected(f"the model's external data cannot be opened: {error.strerror}") from error


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
