"""Takes large contents of tensors out of a message, so that only what stands around them is parsed.

The parser copies each content into its own memory, and once more for whoever asks for it. Of a call with 14 MiB that
was 2 to 6 ms in which the event loop did nothing else, and three times the memory. What is taken out is a view of what
was received. Tests read each such message both ways.
"""

from collections.abc import Iterator, Mapping, Sequence
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


def take_contents(message: bytes, field: int, inner: int | None = None) -> tuple[bytes, Contents]:
    """Take out contents of at least `LARGE_BYTES`.

    Args:
        message: Serialised.
        field: The number of the repeated field that holds the contents, or the tensors that hold them.
        inner: In the latter case the number of the content in its tensor; a tensor has one at most.

    Returns:
        The message with empty contents in the place of large ones, and these; the message itself and none if it has
        none, or if it is not laid out as clients lay out their calls.
    """
    if len(message) >= LARGE_BYTES:
        try:
            return _take(message, field, inner)
        except _Unclear:
            pass
    return message, NO_CONTENTS


def _take(message: bytes, number: int, inner: int | None) -> tuple[bytes, Contents]:
    view = memoryview(message)
    rest: list[bytes | memoryview] = []
    taken: dict[int, memoryview] = {}
    index, done = -1, 0
    for field in _fields(message, 0, len(message)):
        if field.number != number:
            continue
        index += 1
        content, around = field, b""
        if inner is not None and field.size_bytes >= LARGE_BYTES:
            content = _only([each for each in _fields(message, field.start, field.stop) if each.number == inner])
            around = message[field.start : content.begin] + message[content.stop : field.stop]
        if content.size_bytes >= LARGE_BYTES:
            taken[index] = view[content.start : content.stop]
            rest += (view[done : field.begin], nested(length_tag(number), around))
            done = field.stop
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


def _only(fields: Sequence[_Field]) -> _Field:
    if len(fields) != 1:
        raise _Unclear
    return fields[0]


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
