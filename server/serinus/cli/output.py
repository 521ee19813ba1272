"""How commands speak: results to standard output as a table or JSON, failures as sentences and an exit code."""

import enum
import json
import math
import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from serinus.telemetry.log_fields import visible

_WIDTH_OF_A_PIPE = 160  # a program or a file has no edge; tables still need one


class ExitCode(enum.IntEnum):
    """What a command's end means to a script."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3


class CommandFailed(Exception):
    """A command that could not do what it was asked to.

    Attributes:
        sentences: Why, and what to do about it; usually one.
        code: What the process exits with.
    """

    def __init__(self, *sentences: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(*sentences)
        self.sentences = sentences
        self.code = code


def console(stream: TextIO | None = None) -> Console:
    """A console on `stream`, by default standard output; as wide as the terminal, or fixed where there is none."""
    stream = stream or sys.stdout
    width = None if stream.isatty() else _WIDTH_OF_A_PIPE
    return Console(file=stream, width=width, highlight=False)


def plain_table(*columns: str, right: Sequence[str] = (), title: str | None = None) -> Table:
    """A table without lines.

    Args:
        columns: Headings, in order.
        right: Those whose cells are numbers.
        title: Above it, to the left.
    """
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold", header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=name in right)
    return table


def cell(value: object, style: str = "") -> Text:
    """Text that came from elsewhere: no markup in it is obeyed, neither rich's nor the terminal's."""
    return Text(visible(str(value)), style=style)


def print_json(value: object) -> None:
    """Write one JSON document on one line, flushed, so that a script can read it from a pipe at once."""
    sys.stdout.write(json.dumps(fit_for_json(value), allow_nan=False) + "\n")
    sys.stdout.flush()


def fit_for_json(value: object) -> object:
    """`value` with the numbers that JSON does not have as "NaN", "Infinity" and "-Infinity"."""
    match value:
        case dict():
            return {key: fit_for_json(item) for key, item in value.items()}
        case list() | tuple():
            return [fit_for_json(item) for item in value]
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
