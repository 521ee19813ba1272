"""A worker's process, as its supervisor starts it; no command for people."""

import sys
from collections.abc import Sequence
from typing import Final

_USAGE = 2

WORKER: Final = "worker"
"""What stands in the place of a command."""


def worker_command() -> tuple[str, ...]:
    """The beginning of a worker's command line."""
    return sys.executable, "-m", "serinus", WORKER


def run_worker(arguments: Sequence[str]) -> int:
    """Be the worker that `arguments` describe, as `serinus.workers.process.Launch` wrote them."""
    # Here and not above: with the SDK alone installed, this module still loads.
    from serinus.workers.seat import Assignment, end_with, leave_signals_to_the_supervisor  # noqa: PLC0415 - see above

    try:
        place = Assignment.read(arguments)
    except ValueError:
        sys.stderr.write("error: workers are started by `serinus serve --workers N`\n")
        return _USAGE
    end_with(place.supervisor)
    leave_signals_to_the_supervisor()
    # After the lines above: it takes a second, in which the supervisor may go.
    from serinus.cli.working import run_place  # noqa: PLC0415 - see the line above

    return run_place(place)
