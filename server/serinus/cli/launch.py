"""Finds the command that a command line means, and says in sentences why it failed."""

import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from serinus.cli.output import CommandFailed, ExitCode
from serinus.telemetry.log_fields import visible

_INTERRUPTED = 130


def tree_for(arguments: Sequence[str]) -> typer.Typer:
    """The commands, as far as this command line can need them."""
    # A server's start is waited for: it does not load what the other commands stand on, half a second of it.
    if list(arguments[:1]) == ["serve"]:
        from serinus.cli.root import root_app  # noqa: PLC0415 - see the line above
        from serinus.cli.serve import serve  # noqa: PLC0415

        app = root_app()
        app.command("serve")(serve)
        return app
    from serinus.cli.commands import app  # noqa: PLC0415

    return app


def launch(tree: typer.Typer, arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        # Without its standalone mode typer leaves it to us how an error looks.
        outcome = get_command(tree).main(args=list(arguments), prog_name="serinus", standalone_mode=False)
    except CommandFailed as failure:
        for sentence in failure.sentences:
            sys.stderr.write(f"error: {visible(sentence)}\n")
        return failure.code
    except typer.Abort:
        return _INTERRUPTED
    except Exception as error:
        # typer's own usage errors; their class is click's or typer's copy of it, depending on typer's version.
        if not hasattr(error, "format_message"):
            raise
        return _usage(error)
    return outcome if isinstance(outcome, int) else 0


def _usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "serinus"
    message = error.format_message()  # type: ignore[attr-defined]  # asked for above
    if type(error).__name__ == "NoArgsIsHelpError":
        # A group without a command. With rich the help is printed when the error is made, without it it is the message.
        sys.stderr.write(message)
    else:
        sentence = " ".join(message.split()).rstrip(".")
        sys.stderr.write(f"error: {visible(sentence)}; see {path} --help\n")
    return ExitCode.USAGE
