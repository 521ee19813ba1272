"""Puts text that somebody else wrote into markdown, so that it stays text."""

import re
from collections.abc import Iterable, Sequence

# What starts markup anywhere in a line, in CommonMark and in GitHub's tables; `_` does so but between letters.
_MARKUP = re.compile(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])")
# What starts a heading or a list at the beginning of a line.
_BLOCK = re.compile(r"(\d{1,9}(?=[.)](?:\s|$)))?([-+=#.)])")
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|www)([:.])")  # made a link by itself
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNITS = ("kB", "MB", "GB", "TB")


def inline(text: str) -> str:
    """One line of plain text: nothing in it is markup, and nothing in it turns the line around."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    line = _MARKUP.sub(lambda found: "&lt;" if found[0] == "<" else f"\\{found[0]}", line)
    line = _LINK.sub(lambda found: f"{found[1]}\\{found[2]}", line)
    return _BLOCK.sub(r"\1\\\2", line, count=1) if _BLOCK.match(line) else line


def section(title: str, text: str) -> str:
    """A part of the card; `title` is ours."""
    return f"## {title}\n\n{text}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; "" without rows. `titles` are ours, the cells are anybody's."""
    lines = [f"| {' | '.join(inline(cell) for cell in row)} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}", *lines])


def literal(text: str, language: str) -> str:
    """A block of code, fenced so that nothing in it can end it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def number(value: float) -> str:
    """Six digits, and no more than it needs."""
    return f"{value:.6g}"


def size(size_bytes: float) -> str:
    """For people: "12.3 MB"; powers of 1000."""
    if size_bytes < 1000:  # noqa: PLR2004 - what the units are powers of
        return f"{size_bytes:.0f} B"
    for unit in _UNITS:
        size_bytes /= 1000
        if size_bytes < 999.95 or unit == _UNITS[-1]:  # noqa: PLR2004 - what would be written as 1000.0
            break
    return f"{size_bytes:.1f} {unit}"
