"""Makes what callers wrote safe to write down: bounded in size, and unable to end a line or to steer a terminal."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

LONGEST_TEXT: Final = 1024
"""Characters of one field; a model's name has at most 128 and a sentence of ours a few hundred."""

LONGEST_ITEM: Final = 128
"""Characters of one item of a field that has items."""

LONGEST_TRACEBACK: Final = 16_384
_MOST_ITEMS = 32
_ELLIPSIS = "…"

# json leaves DEL alone. C1 controls, U+2028 and marks that turn text around are escaped because it writes ASCII.
_DEL, _ESCAPED_DEL = "\x7f", "\\u007f"


def bounded(value: object) -> Any:
    """A field of any type as something that JSON has, of bounded size; containers keep one level of items."""
    match value:
        case dict():
            return {_scalar(_text(key), LONGEST_ITEM): _item(item) for key, item in _first(value.items())}
        case list() | tuple() | set() | frozenset():
            return [_item(item) for item in _first(value)]
    return _scalar(value, LONGEST_TEXT)


def _item(value: object) -> Any:
    return _ELLIPSIS if isinstance(value, dict | list | tuple | set | frozenset) else _scalar(value, LONGEST_ITEM)


def _scalar(value: object, longest: int) -> Any:
    match value:
        case None | bool():
            return value
        case float():
            # JSON has no NaN and no infinity.
            return float(value) if math.isfinite(value) else str(float(value))
        case int():
            # Python refuses to print integers of very many digits, which a caller's parameter could be.
            return int(value) if value.bit_length() <= longest else f"an integer of {value.bit_length()} bits"
        case bytes() | bytearray():
            # The beginning first: a million bytes would be four million characters.
            return shortened(repr(bytes(value[: longest + 1])), longest)
    return shortened(_text(value), longest)


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """`text`, or its beginning and how long it was."""
    return text if len(text) <= longest else f"{text[:longest]}{_ELLIPSIS} ({len(text)} characters)"


def shortened_traceback(text: str) -> str:
    """`text`, or its end, where a traceback says what happened."""
    return (
        text if len(text) <= LONGEST_TRACEBACK else f"({len(text)} characters) {_ELLIPSIS}{text[-LONGEST_TRACEBACK:]}"
    )


def as_json(fields: Mapping[str, Any]) -> str:
    """One line of ASCII."""
    # default=str cannot be reached after `bounded`, but a line that is lost is worse than one that is odd.
    return json.dumps(fields, default=str).replace(_DEL, _ESCAPED_DEL)


def printable(value: Any) -> Any:
    """The value with every character escaped that a terminal would obey or that ends a line."""
    match value:
        case str():
            return visible(value)
        case dict():
            return {visible(key): printable(item) for key, item in value.items()}
        case list():
            return [printable(item) for item in value]
    return value


def visible(text: str) -> str:
    """`text` with each unprintable character written as Python writes it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def visible_lines(text: str) -> str:
    """The same, but for text that has lines of its own, as a traceback has."""
    return "\n".join(visible(line) for line in text.split("\n"))


def _first(items: Iterable[Any]) -> Iterable[Any]:
    return [item for item, _ in zip(items, range(_MOST_ITEMS), strict=False)]


def _text(value: object) -> str:
    try:
        return str(value) if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 - `__repr__` is foreign code; a log line survives it
        return f"<{type(value).__name__} that cannot be shown>"
