"""The command above all others, without them."""

import importlib.metadata
from typing import Annotated

import typer


def root_app() -> typer.Typer:
    """`serinus` without a command."""
    app = typer.Typer(name="serinus", no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
    app.callback()(_root)
    return app


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer hands the flag over by position
    if asked:
        typer.echo(f"serinus {importlib.metadata.version('serinus')}")
        raise typer.Exit


def _root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Serve ONNX models over gRPC, and look at servers that do.

    Exit codes: 0 ok, 1 failed, 2 usage, 3 server unreachable. Every command takes --json.
    """
