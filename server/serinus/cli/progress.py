"""Progress bars: on standard error, because standard output holds the result, and only where somebody looks."""

import sys
from collections.abc import Callable

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


def upload_shown(progress: Progress, named: str) -> Callable[[int, int], None]:
    """Shows an upload: what `on_progress` of a registration is to be."""
    task = progress.add_task(f"Sending {named}", total=None)

    def show(sent_bytes: int, total_bytes: int) -> None:
        # Once all is sent, the server still loads the model and answers its golden requests.
        words = "The server examines" if sent_bytes == total_bytes else "Sending"
        progress.update(task, completed=sent_bytes, total=total_bytes, description=f"{words} {named}")

    return show
