"""Takes large contents of tensors out of a message, so that only what stands around them is parsed.

The parser copies each content into its own memory, and once more for whoever asks for it. Of a call with 14 MiB that
was 2 to 6 ms in which the event loop did nothing else, and three times the memory. What is taken out is a view of what
was received. Tests read each such message both ways.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from serinus.core.raw_tensors import LARGE_BYTES
from serinus.transport.wire import length_tag, nested
from serinus.transport.wire_fields import extent, varint_at

Contents = Mapping[int, memoryview]
"""What was taken, by the number of its tensor from 0."""

NO_CONTENTS: Contents = MappingProxyType({})

_MOST_FIELDS = 64  # of one message that is looked into; calls with more are left to the parser
_LENGTH = 2  # the wire type of text, bytes and messages
_LARGEST_TAG, _LONGEST_TAG = (1 << 32) - 1, 5  # the parser refuses a larger one, and one of more bytes
_PLAIN = frozenset({0, 1, _LENGTH, 5})  # wire types of fields that hold no other fields, as groups do


def take_contents(message: bytes, contents: int) -> tuple[bytes, Contents]:
    """Take out contents of at least `LARGE_BYTES`.

    Args:
        message: Serialised.
        contents: The number of the repeated field that holds them.

    Returns:
        The message with empty contents in the place of large ones, and these; the message itself and none if it has
        none, or if it is not laid out as clients lay out their calls.
    """
    return _take(message, contents, lambda content: (content, b""))


def take_data(message: bytes, tensors: int, data: int) -> tuple[bytes, Contents]:
    """The same where each tensor is a message of its own.

    Args:
        message: Serialised.
        tensors: The number of the repeated field that holds them.
        data: The number of the field of a tensor that holds its content.
    """

    def content_of(tensor: _Field) -> tuple[_Field, bytes]:
        if tensor.size_bytes < LARGE_BYTES:
            return tensor, b""
        found = [field for field in _fields(message, tensor.start, tensor.stop) if field.number == data]
        if len(found) != 1:  # of several the last one counts
            raise _Unclear
        (content,) = found
        return content, message[tensor.start : content.begin] + message[content.stop : tensor.stop]

    return _take(message, tensors, content_of)


def _take(
    message: bytes, number: int, content_of: Callable[["_Field"], tuple["_Field", bytes]]
) -> tuple[bytes, Contents]:
    if len(message) < LARGE_BYTES:
        return message, NO_CONTENTS
    view = memoryview(message)
    rest: list[bytes | memoryview] = []
    taken: dict[int, memoryview] = {}
    done = 0
    try:
        tensors = [field for field in _fields(message, 0, len(message)) if field.number == number]
        for place, tensor in enumerate(tensors):
            content, around = content_of(tensor)
            if content.size_bytes >= LARGE_BYTES:
                taken[place] = view[content.start : content.stop]
                rest += (view[done : tensor.begin], nested(length_tag(number), around))
                done = tensor.stop
    except _Unclear:
        return message, NO_CONTENTS
    rest.append(view[done:])
    return b"".join(rest), taken


class _Field(NamedTuple):
    """Text, bytes or a message: where its tag begins, and its content starts and stops."""

    number: int
    begin: int
    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        return self.stop - self.start


def _fields(message: bytes, position: int, end: int) -> Iterator[_Field]:
    for _ in range(_MOST_FIELDS + 1):
        if position >= end:
            return
        begin = position
        tag, position = varint_at(message, position, end)
        if tag & 7 not in _PLAIN or tag > _LARGEST_TAG or position - begin > _LONGEST_TAG:
            break
        start, position = extent(message, tag & 7, position, end)
        if position > end:
            break
        if tag & 7 == _LENGTH:
            yield _Field(tag >> 3, begin, start, position)
    raise _Unclear


class _Unclear(Exception):
    """A message is not laid out as clients lay out their calls; the parser knows what it means."""
