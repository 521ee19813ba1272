"""Refuses messages whose size lies in their structure rather than in their tensors, before they are parsed.

4 MiB of empty sub-messages become 96 MiB of objects and hold the event loop for 110 ms; walking the outermost tags of
such a message to the 65th takes microseconds.
"""

import dataclasses
import re
from collections.abc import Mapping

from serinus.core.errors import InvalidInput

_LONGEST_TEXT = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SMALL = 4096  # a message this short cannot hold enough to matter
_LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}


def check_text(what: str, text: str) -> None:
    """Refuse ids and parameters that would hurt whoever logs or echoes them.

    Raises:
        InvalidInput: longer than 256 bytes, or with control characters.
    """
    if not text:
        return
    if len(text.encode("utf-8", "replace")) > _LONGEST_TEXT:
        raise InvalidInput(f"{what}: expected at most {_LONGEST_TEXT} bytes, got {len(text)}", reason="TEXT_TOO_LONG")
    if _CONTROL.search(text):
        raise InvalidInput(f"{what}: expected no control characters", reason="CONTROL_CHARACTER")


@dataclasses.dataclass(frozen=True)
class WireLimits:
    """How many parts a message may have.

    Attributes:
        max_inputs: Most entries of each outermost repeated field, and of each map inside a tensor.
        nested: Field numbers of the outermost sub-messages that hold a map, to the number of that map's field.
    """

    max_inputs: int = 64
    nested: Mapping[int, int] = dataclasses.field(default_factory=dict)

    def check_message(self, message: bytes) -> None:
        """Refuse a serialised message with too many parts; one that cannot be walked is left to the parser.

        Raises:
            InvalidInput: too many entries.
        """
        if len(message) > _SMALL:
            self._walk(message, 0, len(message), None)

    def _walk(self, message: bytes, position: int, end: int, only: int | None) -> None:
        """Count the fields between `position` and `end`; with `only`, those with that number alone."""
        counts: dict[int, int] = {}
        while position < end:
            tag, position = _varint(message, position, end)
            number, kind = tag >> 3, tag & 7
            if kind == _LENGTH_DELIMITED:
                length, position = _varint(message, position, end)
                if number in self.nested and only is None:
                    self._walk(message, position, min(position + length, end), self.nested[number])
                position += length
            elif kind in _FIXED:
                position += _FIXED[kind]
            elif kind == 0:
                _, position = _varint(message, position, end)
            else:
                return
            if only is None or number == only:
                counts[number] = counts.get(number, 0) + 1
                if counts[number] > self.max_inputs:
                    raise InvalidInput(
                        f"expected at most {self.max_inputs} entries of field {number}, got more",
                        reason="TOO_MANY_INPUTS",
                    )


def _varint(message: bytes, position: int, end: int) -> tuple[int, int]:
    """The number at `position` and where it ends; a broken one ends the walk."""
    value = shift = 0
    while position < end and shift < 64:  # noqa: PLR2004 - a varint holds 64 bits
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, position
        shift += 7
    return 0, end
