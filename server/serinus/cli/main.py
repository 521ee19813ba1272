"""The `serinus` command: runs one command line and turns however it ends into an exit code."""

import functools
import os
import sys
from collections.abc import Callable, Sequence

from serinus.cli.handover import handed_over
from serinus.cli.worker import WORKER, run_worker

_DEBUG = "SERINUS_DEBUG"
_FAILED = 1
_INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended


def main() -> None:
    """Run the command line of this process and end it."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0 ok, 1 failed, 2 usage, 3 server unreachable.

    Whatever goes wrong becomes sentences on standard error; a traceback is shown only where SERINUS_DEBUG is set.
    """
    # What grpc's core would write to standard error is said in our own words.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        command = _command(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("serinus") or os.environ.get(_DEBUG):
            raise
        return _sentence(f"the command line needs the package {error.name!r}: pip install 'serinus[server]'")
    try:
        return command()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:
        # The outermost frame of the program.
        if os.environ.get(_DEBUG):
            raise
        return _sentence(
            f"this is a bug in serinus ({type(error).__name__}): run it again with {_DEBUG}=1 to see where, "
            "and please report it"
        )


def _command(arguments: Sequence[str]) -> Callable[[], int]:
    """What this process is to do. Three cases: a worker, a supervisor that begins anew, and a command of a person's.

    Each imports its own: with the SDK alone installed, this module still loads and says what is missing.
    """
    if list(arguments[:1]) == [WORKER]:
        return functools.partial(run_worker, arguments[1:])
    if (handed := handed_over()) is not None:
        from serinus.cli.supervise import supervise  # noqa: PLC0415 - see above

        return functools.partial(supervise, handed)
    from serinus.cli.launch import launch, tree_for  # noqa: PLC0415 - see above

    return functools.partial(launch, tree_for(arguments), arguments)


def _sentence(text: str) -> int:
    sys.stderr.write(f"error: {text}\n")
    return _FAILED
