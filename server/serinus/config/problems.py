"""Turns what pydantic found wrong into one sentence a problem, in the operator's own keys."""

import difflib
from collections.abc import Callable

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from serinus.config.schema import Key, expectation, table_at

_LONGEST_VALUE = 64


def dotted(key: Key) -> str:
    """A key as TOML writes it: `models."a.b".path`, with `[0]` for places in lists."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            name = f'"{part}"' if "." in part else part
            text += f".{name}" if text else name
    return text


def sentences(
    error: ValidationError, root: type[BaseModel], source: Callable[[Key], str], *, most: int | None = None
) -> tuple[str, ...]:
    """One sentence for each problem: the key, what was expected, what was given, and where it was written.

    Args:
        error: What validation against `root` raised.
        root: The table that was validated.
        source: Who wrote the value at a key, or "".
        most: So many, and the number of the others; None for all.
    """
    found = []
    for details in error.errors(include_url=False)[:most]:
        written_by = source(details["loc"])
        found.append(_sentence(details, root) + (f" ({written_by})" if written_by else ""))
    if most is not None and error.error_count() > most:
        found.append(f"and {error.error_count() - most} more")
    return tuple(dict.fromkeys(found))


def shown(value: object) -> str:
    """A given value, short enough for a sentence."""
    text = "a table" if isinstance(value, dict | BaseModel) else repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def _sentence(details: ErrorDetails, root: type[BaseModel]) -> str:
    key = details["loc"]
    match details["type"]:
        case "extra_forbidden":
            return f"{dotted(key)}: unknown key, {_suggestion(key, root)}"
        case "missing":
            return f"{dotted(key)}: expected {expectation(root, key)}, got nothing"
        case "value_error":
            # A table's own check names the key at fault first; a value's check does not.
            joint = "." if table_at(root, key) is not None else ": "
            return f"{dotted(key)}{joint if key else ''}{details['ctx']['error']}"
        case _:
            return f"{dotted(key)}: expected {expectation(root, key)}, got {shown(details['input'])}"


def _suggestion(key: Key, root: type[BaseModel]) -> str:
    table = table_at(root, key[:-1])
    assert table is not None, "this is a bug: only a table has unknown keys"
    known = tuple(table.model_fields)
    close = difflib.get_close_matches(str(key[-1]), known, n=1)
    if close:
        return f"did you mean '{dotted((*key[:-1], close[0]))}'?"
    return f"expected one of {', '.join(known)}"
