"""The `serinus` command: runs one command line and turns however it ends into an exit code."""

import os
import sys
from collections.abc import Sequence

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
        # Here and not above: with the SDK alone installed, this module still loads and says what is missing.
        from serinus.cli.launch import launch  # noqa: PLC0415 - see the line above
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("serinus") or os.environ.get(_DEBUG):
            raise
        return _sentence(f"the command line needs the package {error.name!r}: pip install 'serinus[server]'")
    try:
        return launch(arguments)
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


def _sentence(text: str) -> int:
    sys.stderr.write(f"error: {text}\n")
    return _FAILED
