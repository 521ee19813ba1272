"""Walks over the fields of a serialised protobuf message, without parsing what they hold."""


def extent(message: bytes, kind: int, position: int, end: int) -> tuple[int, int]:
    """Where the content of a field starts and ends, by the wire type in its tag."""
    match kind:
        case 0:
            return position, varint_at(message, position, end)[1]
        case 1:
            return position, position + 8
        case 2:
            length, start = varint_at(message, position, end)
            return start, start + length
        case 3 | 4:  # the tags around a group: its fields count as the message's own
            return position, position
        case 5:
            return position, position + 4
        case _:
            return position, end


def varint_at(message: bytes, position: int, end: int) -> tuple[int, int]:
    """The number at `position` and where it ends; a broken one ends the walk."""
    if position < end and (value := message[position]) < 0x80:  # noqa: PLR2004 - no continuation bit: nearly always
        return value, position + 1
    value = shift = 0
    while position < end and shift < 64:  # noqa: PLR2004 - a varint holds 64 bits
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, position
        shift += 7
    return 0, end
