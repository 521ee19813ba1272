"""How a line of the log looks to a person: when, how bad, what, who, then the fields in the order of their names."""

from collections.abc import Callable, Mapping
from typing import Any, Final

_LEVEL_WIDTH, _EVENT_WIDTH = 9, 30  # most events end in the same column, and fields begin there

_DIM, _BOLD = "\x1b[2m", "\x1b[1m"
_RED, _GREEN, _YELLOW, _BLUE, _MAGENTA, _CYAN = (f"\x1b[{number}m" for number in range(31, 37))
_RESET = "\x1b[0m"
_LEVELS: Final[Mapping[str, str]] = {"warning": _YELLOW, "error": _RED, "critical": _RED}


def plain_line(fields: Mapping[str, Any]) -> str:
    """The line of an event whose fields are printable, `time`, `level`, `event` and `logger` among them."""
    return _line(fields, lambda text, _style: text)


def coloured_line(fields: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return _line(fields, lambda text, style: f"{style}{text}{_RESET}")


def _line(fields: Mapping[str, Any], styled: Callable[[str, str], str]) -> str:
    more = dict(fields)
    when, level, event, who = (str(more.pop(name)) for name in ("time", "level", "event", "logger"))
    return " ".join(
        (
            styled(when, _DIM),
            f"[{styled(level.ljust(_LEVEL_WIDTH), _LEVELS.get(level, _GREEN) + _BOLD)}]",
            styled(event.ljust(_EVENT_WIDTH), _BOLD),
            f"[{styled(who, _BLUE + _BOLD)}]",
            *(f"{styled(name, _CYAN)}={styled(_shown(value), _MAGENTA)}" for name, value in sorted(more.items())),
        )
    )


def _shown(value: object) -> str:
    """In quotes where it could be taken for several words, or for a field."""
    if isinstance(value, str) and not set(value) & set(" \t=\r\n\"'"):
        return value
    return repr(value)
