"""Progress bars: on standard error, because standard output holds the result, and only where somebody looks."""

import sys

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from serinus.cli.output import console

_TEXT = "{task.description}"


def bytes_progress() -> Progress:
    """For bytes on their way."""
    return Progress(
        TextColumn(_TEXT, markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        console=console(sys.stderr),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


def steps_progress() -> Progress:
    """For steps that are counted."""
    return Progress(
        TextColumn(_TEXT, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console(sys.stderr),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
