"""Sets large weights aside without copying them, so that what must be parsed of a model file is small.

Parsing holds Python's lock from the first byte to the last, 60 ms for 100 MB, and with it the event loop. onnxruntime
takes weights from memory without the lock, so the file that it parses says only where in these very bytes they are.
Weights are initializers, or the values of constant nodes, which onnxruntime makes initializers itself.
"""

import dataclasses
from collections.abc import Container, Iterator

from serinus.runtime.plain_files import Buffer

WHOLE_FILE = ":whole-file"
"""The location that stands for the model file itself; no model can name it, because of the colon."""

_SMALL_BYTES = 4096  # shapes and axes, which onnxruntime wants to see when it reads the graph, are smaller

# Numbers of fields and of wire types in onnx.proto3.
_IR_VERSION, _GRAPH = 1, 7
_NODE, _INITIALIZER, _INPUT = 1, 5, 11
_OUTPUT, _OP_TYPE, _ATTRIBUTE, _DOMAIN = 2, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_TENSOR = 1, 5
_INPUT_NAME = 1
_TENSOR_NAME = 8
_DATA_TYPE, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 2, 9, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_INITIALIZERS_NEED_NO_INPUT = 4  # from this version of the format on
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


def carve(content: Buffer) -> Carved:
    """Set the large weights of the graph aside. What is unusual stays as it is: parsing will judge it."""
    try:
        fields = list(_fields(content, 0, len(content)))
        graphs = [field for field in fields if field.number == _GRAPH]
        if len(graphs) != 1 or graphs[0].wire_type != _BYTES:
            return Carved(bytes(content), 0)
        ir_version = next((field.value for field in fields if field.number == _IR_VERSION), 0)
        pieces, count = _carved_graph(content, graphs[0], ir_version >= _INITIALIZERS_NEED_NO_INPUT)
    except _Unusual:
        return Carved(bytes(content), 0)
    if not count:
        return Carved(bytes(content), 0)
    graph = b"".join(pieces)
    head, tail = content[: graphs[0].start], content[graphs[0].end :]
    return Carved(b"".join((head, _message(_GRAPH, graph), tail)), count)


def _carved_graph(content: Buffer, graph: _Field, has_constants: bool) -> tuple[list[bytes], int]:  # noqa: FBT001 - a fact
    pieces: list[bytes] = []
    count = 0
    copied = graph.payload
    fields = list(_fields(content, graph.payload, graph.end))
    inputs = {_text(content, field, _INPUT_NAME) for field in fields if field.number == _INPUT}
    for field in fields:
        if field.end - field.payload < _SMALL_BYTES:
            continue
        tensor = None
        if field.number == _INITIALIZER:
            tensor = _carved_tensor(content, field)
        elif field.number == _NODE and has_constants:
            tensor = _carved_constant(content, field, inputs)
        if tensor is None:
            continue
        pieces += (content[copied : field.start], _message(_INITIALIZER, tensor))
        copied = field.end
        count += 1
    pieces.append(content[copied : graph.end])
    return pieces, count


def _carved_constant(content: Buffer, node: _Field, inputs: Container[bytes]) -> bytes | None:
    """The initializer that a constant node stands for; None if it is another node, or its value is small."""
    fields = list(_fields(content, node.payload, node.end))
    attributes = [field for field in fields if field.number == _ATTRIBUTE]
    outputs = [field for field in fields if field.number == _OUTPUT]
    if (
        len(attributes) != 1
        or len(outputs) != 1
        or _text(content, node, _OP_TYPE) != b"Constant"
        or _text(content, node, _DOMAIN)
        or _text(content, attributes[0], _ATTRIBUTE_NAME) != b"value"
    ):
        return None
    output = content[outputs[0].payload : outputs[0].end]
    values = [
        field
        for field in _fields(content, attributes[0].payload, attributes[0].end)
        if field.number == _ATTRIBUTE_TENSOR and field.wire_type == _BYTES
    ]
    # An initializer of an input's name would be the input's default.
    if len(values) != 1 or output in inputs or (tensor := _carved_tensor(content, values[0])) is None:
        return None
    return tensor + _message(_TENSOR_NAME, output)  # the last of two names counts


def _text(content: Buffer, message: _Field, number: int) -> bytes:
    """What field `number` of a message holds; b"" if there is none."""
    found = b""
    for field in _fields(content, message.payload, message.end):
        if field.number == number and field.wire_type == _BYTES:
            found = content[field.payload : field.end]
    return found


def _carved_tensor(content: Buffer, tensor: _Field) -> bytes | None:
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


def _fields(content: Buffer, position: int, end: int) -> Iterator[_Field]:
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


def _varint(content: Buffer, position: int) -> tuple[int, int]:
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
