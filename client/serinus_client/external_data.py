"""Finds the files that an ONNX file keeps its weights in, by a walk over the fields of its messages.

The file is mapped, not read: of gigabytes of weights only the tags between them are looked at. Nothing is judged here;
the server does that, and what cannot be understood is left to it.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

# Of each message the fields that lead to a tensor, by number, as onnx.proto numbers them.
_TENSOR, _ENTRY, _MODEL, _GRAPH, _NODE, _ATTRIBUTE, _SPARSE, _FUNCTION, _TRAINING = range(9)
_LEADS: dict[int, dict[int, int]] = {
    _MODEL: {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _FUNCTION: {7: _NODE},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
    _TENSOR: {13: _ENTRY},
}
_KEY, _VALUE = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


def external_files(model: Path) -> dict[str, Path]:
    """Files beside `model` that hold its weights, by the path that it gives them, as far as they are there.

    Blocking: call it in a thread.

    Raises:
        OSError: the model file cannot be read.
    """
    found: dict[str, Path] = {}
    for location in external_locations(model):
        parts = [part for part in location.split("/") if part not in {"", "."}]
        if parts and ".." not in parts and not location.startswith("/"):
            file = model.parent.joinpath(*parts)
            if file.is_file():
                found["/".join(parts)] = file
    return found


def external_locations(model: Path) -> list[str]:
    """Where the weights of `model` lie that are not in it, as it names them, each once; blocking.

    Raises:
        OSError: the model file cannot be read.
    """
    with model.open("rb") as stream:
        try:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            return []  # empty, as mmap alone can tell for certain: another process may be writing the file
        with content:
            return sorted(set(_locations(content)))


def _locations(content: mmap.mmap) -> Iterator[str]:
    """What the entries `location` of all tensors say. A stack and not a recursion: graphs nest as deep as they like."""
    waiting = [(_MODEL, 0, len(content))]
    while waiting:
        kind, start, stop = waiting.pop()
        if kind == _ENTRY:
            texts = {number: content[first:last] for number, first, last in _fields(content, start, stop)}
            if texts.get(_KEY) == b"location":
                yield texts.get(_VALUE, b"").decode("utf-8", "replace")
            continue
        leads = _LEADS[kind]
        waiting.extend(
            (leads[number], first, last) for number, first, last in _fields(content, start, stop) if number in leads
        )


def _fields(content: mmap.mmap, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field with a length, up to the first thing that cannot be."""
    position = start
    while position < stop:
        tag, position = _varint(content, position, stop)
        wire_type = tag & 7
        if wire_type == _BYTES:
            length, position = _varint(content, position, stop)
            if position + length > stop:
                return
            yield tag >> 3, position, position + length
            position += length
        elif wire_type == _VARINT:
            _, position = _varint(content, position, stop)
        elif wire_type in {_FIXED64, _FIXED32}:
            position += 8 if wire_type == _FIXED64 else 4
        else:
            return


def _varint(content: mmap.mmap, position: int, stop: int) -> tuple[int, int]:
    """A number and the place behind it; what is cut off ends at `stop`."""
    value = 0
    for index in range(min(_LONGEST_VARINT, stop - position)):
        byte = content[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the bit that says "more follows"
            return value, position + index + 1
    return 0, stop
