"""Refuses messages whose size lies in their structure rather than in their tensors, before they are parsed.

4 MiB of empty sub-messages become 96 MiB of objects and hold the event loop for 100 to 160 ms; walking the tags of such
a message to the 65th takes microseconds. The parser is thirty times as fast as the walk, so what is too short to matter
is not walked: only its outermost parts are counted, once they are parsed.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Self

from google.protobuf.message import Message

from serinus.core.errors import InvalidInput
from serinus.core.raw_tensors import MOST_AXES
from serinus.transport.wire_fields import extent, varint_at

_LONGEST_TEXT = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SMALL = 1 << 16  # at worst 32768 empty parts: 2 ms and 2 MiB
_MOST_FIELDS = 1 << 15  # of one message, counted at every depth: 30 ms of walking
_LONGEST_VARINT = 10
_MOST: Mapping[str, int] = {
    "attributes": 16,  # of one call
    "calls": 2048,  # of one frame: 60 ms of starting them, if each is refused
    "files": 1000,  # of one version
    "sha256": 1000,  # of the files of one version
}
_LONGEST: Mapping[str, int] = {
    "facts_yaml": 1 << 20,  # as long as facts may be
    "markdown": 1 << 18,  # a card's section: 65536 characters
}
_MOST_TYPED_STRINGS = 1 << 14  # of one tensor: each is a field, and walked


def check_text(what: str, text: str, *, longest_bytes: int = _LONGEST_TEXT, field: str = "") -> None:
    """Refuse ids and parameters that would hurt whoever logs or echoes them.

    Args:
        what: How the refusal calls it.
        text: As received.
        longest_bytes: In UTF-8.
        field: Of the message, for programs that read the refusal; "" for none.

    Raises:
        InvalidInput: longer than `longest_bytes`, or with control characters.
    """
    if not text:
        return
    size_bytes = len(text.encode("utf-8", "replace"))
    if size_bytes > longest_bytes:
        raise InvalidInput(
            f"{what}: expected at most {longest_bytes} bytes, got {size_bytes}", reason="TEXT_TOO_LONG", field=field
        )
    if _CONTROL.search(text):
        raise InvalidInput(f"{what}: expected no control characters", reason="CONTROL_CHARACTER", field=field)


def _too_many(what: str, got: str, most: int) -> InvalidInput:
    """The refusal of a message for the number of its parts."""
    if what == "shape":
        return InvalidInput(f"shape: expected at most {MOST_AXES} axes, got {got}", reason="TOO_MANY_AXES")
    reason = "TOO_MANY_INPUTS" if "input" in what else "TOO_MANY_ENTRIES"
    return InvalidInput(f"{what}: expected at most {most} entries, got {got}", reason=reason, field=what)


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """What one field of a message may be.

    Attributes:
        name: As in the .proto file.
        most: Most entries, or None.
        longest: Most bytes of one entry, or None.
        inside: What its sub-messages may be, or None for one without.
    """

    name: str
    most: int | None
    longest: int | None
    inside: "Mapping[int, _Field] | None"


class WireLimits:
    """How many parts a message of one type may have."""

    def __init__(self, fields: Mapping[int, _Field]) -> None:
        self._fields = fields
        self._counted = tuple((field.name, field.most) for field in fields.values() if field.most is not None)

    @classmethod
    def of(cls, asked: type[Message], max_entries: int) -> Self:
        """The limits for messages of a type, with `max_entries` for each repeated field that holds messages or text."""
        return cls(_fields(asked.DESCRIPTOR, max_entries))

    def check_bytes(self, message: bytes) -> None:
        """Refuse a serialised message with too many parts; one that cannot be walked is left to the parser.

        Raises:
            InvalidInput: too many entries, or a text or shape that is too long.
        """
        if len(message) > _SMALL:
            _walk(message, 0, len(message), self._fields, _MOST_FIELDS)

    def check_parsed(self, message: Message) -> None:
        """Refuse a parsed message with too many parts of its own, which was too short to be walked.

        Raises:
            InvalidInput: too many entries.
        """
        for name, most in self._counted:
            if (count := len(getattr(message, name))) > most:
                raise _too_many(name, str(count), most)


def _fields(descriptor: Any, max_entries: int) -> Mapping[int, _Field]:
    return {field.number: _field(field, max_entries) for field in descriptor.fields}


def _field(field: Any, max_entries: int) -> _Field:
    most = longest = inside = None
    if field.message_type is not None:
        inside = _fields(field.message_type, max_entries)
        if field.is_repeated:
            most = _MOST.get(field.name, max_entries)
    elif field.name == "shape":
        most, longest = MOST_AXES, MOST_AXES * _LONGEST_VARINT
    elif field.is_repeated and field.type in {field.TYPE_STRING, field.TYPE_BYTES}:
        most = _MOST_TYPED_STRINGS if field.name == "bytes_contents" else _MOST.get(field.name, max_entries)
    elif field.type == field.TYPE_STRING and field.containing_oneof is None:
        longest = _LONGEST.get(field.name, _SMALL)  # names; values of parameters may be whole configurations
    return _Field(field.name, most, longest, inside)


def _walk(message: bytes, position: int, end: int, fields: Mapping[int, _Field], left: int) -> int:
    """Count the fields between `position` and `end`; return how many of `left` are left after them."""
    counts: dict[str, int] = {}
    while position < end:
        left -= 1
        if left < 0:
            raise _too_many("message", "more", _MOST_FIELDS)
        tag, position = varint_at(message, position, end)
        start, position = extent(message, tag & 7, position, end)
        field = fields.get(tag >> 3)
        if field is None:
            continue
        if field.longest is not None and position - start > field.longest:
            raise _too_long(field, position - start)
        if field.inside is not None:
            left = _walk(message, start, min(position, end), field.inside, left)
        if field.most is not None:
            counts[field.name] = count = counts.get(field.name, 0) + 1
            if count > field.most:
                raise _too_many(field.name, "more", field.most)
    return left


def _too_long(field: _Field, length: int) -> InvalidInput:
    if field.name == "shape":
        return _too_many("shape", "more", MOST_AXES)
    return InvalidInput(
        f"{field.name}: expected at most {field.longest} bytes, got {length}", reason="TEXT_TOO_LONG", field=field.name
    )
