"""Sets large weights aside without copying them, so that what must be parsed of a model file is small.

Parsing holds Python's lock from the first byte to the last, 60 ms for 100 MB, and with it the event loop. onnxruntime
takes weights from memory without the lock, so the file that it parses says only where in these very bytes they are.
"""

import dataclasses
from collections.abc import Iterator

WHOLE_FILE = ":whole-file"
"""The location that stands for the model file itself; no model can name it, because of the colon."""

_SMALL_BYTES = 4096  # shapes and axes, which onnxruntime wants to see when it reads the graph, are smaller

# Numbers of fields and of wire types in onnx.proto3.
_GRAPH, _INITIALIZER = 7, 5
_DATA_TYPE, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 2, 9, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXTERNAL = b"\x70\x01"  # data_location: EXTERNAL
# float, uint8, int8, uint16, int16, int32, int64, bool, float16, double, uint32, uint64, bfloat16: whole bytes each.
_PLAIN_TYPES = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16})


@dataclasses.dataclass(frozen=True, slots=True)
class Carved:
    """A model file without its large weights.

    Attributes:
        content: A model file whose weights have `WHOLE_FILE` as the location of their values; or the same as before.
        count: How many tensors have it.
    """

    content: bytes
    count: int


class _Unusual(Exception):
    """The bytes are no message, or are written in a way that no exporter writes them."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    number: int
    wire_type: int
    value: int
    start: int
    payload: int
    end: int


def carve(content: bytes) -> Carved:
    """Set the large initializers of the graph aside. What is unusual stays as it is: parsing will judge it."""
    try:
        graphs = [field for field in _fields(content, 0, len(content)) if field.number == _GRAPH]
        if len(graphs) != 1 or graphs[0].wire_type != _BYTES:
            return Carved(content, 0)
        pieces, count = _carved_graph(content, graphs[0])
    except _Unusual:
        return Carved(content, 0)
    if not count:
        return Carved(content, 0)
    graph = b"".join(pieces)
    head, tail = content[: graphs[0].start], content[graphs[0].end :]
    return Carved(b"".join((head, _message(_GRAPH, graph), tail)), count)


def _carved_graph(content: bytes, graph: _Field) -> tuple[list[bytes], int]:
    pieces: list[bytes] = []
    count = 0
    copied = graph.payload
    for field in _fields(content, graph.payload, graph.end):
        if field.number != _INITIALIZER or field.end - field.payload < _SMALL_BYTES:
            continue
        if (tensor := _carved_tensor(content, field)) is None:
            continue
        pieces += (content[copied : field.start], _message(_INITIALIZER, tensor))
        copied = field.end
        count += 1
    pieces.append(content[copied : graph.end])
    return pieces, count


def _carved_tensor(content: bytes, tensor: _Field) -> bytes | None:
    """The tensor without its values; None if they are few, elsewhere, or not plain bytes."""
    raw: _Field | None = None
    data_type = 0
    for field in _fields(content, tensor.payload, tensor.end):
        if field.number == _DATA_TYPE:
            data_type = field.value
        elif field.number in {_EXTERNAL_DATA, _DATA_LOCATION} or (field.number == _RAW_DATA and raw is not None):
            return None
        elif field.number == _RAW_DATA:
            raw = field
    if raw is None or raw.wire_type != _BYTES or data_type not in _PLAIN_TYPES:
        return None
    length = raw.end - raw.payload
    if length < _SMALL_BYTES:
        return None
    where = {b"location": WHOLE_FILE.encode(), b"offset": b"%d" % raw.payload, b"length": b"%d" % length}
    entries = (_message(_EXTERNAL_DATA, _message(1, key) + _message(2, value)) for key, value in where.items())
    return b"".join((content[tensor.payload : raw.start], content[raw.end : tensor.end], *entries, _EXTERNAL))


def _fields(content: bytes, position: int, end: int) -> Iterator[_Field]:
    """The fields of a message between two positions, without looking into them."""
    while position < end:
        start = position
        tag, position = _varint(content, position)
        wire_type = tag & 7
        value = 0
        if wire_type == _BYTES:
            length, payload = _varint(content, position)
            position = payload + length
        elif wire_type == _VARINT:
            payload = position
            value, position = _varint(content, position)
        elif wire_type in {_FIXED64, _FIXED32}:
            payload = position
            position += 8 if wire_type == _FIXED64 else 4
        else:
            raise _Unusual
        if position > end:
            raise _Unusual
        yield _Field(tag >> 3, wire_type, value, start, payload, position)


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and where it ends."""
    value = shift = 0
    while shift < 64 and position < len(content):  # noqa: PLR2004 - bits of a varint
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says "more"
            return value, position
        shift += 7
    raise _Unusual


def _message(number: int, payload: bytes) -> bytes:
    """A field that holds bytes."""
    return _encoded(number << 3 | _BYTES) + _encoded(len(payload)) + payload


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - what fits into one byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
