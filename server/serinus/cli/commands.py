"""The tree of commands."""

import importlib.metadata
from typing import Annotated

import typer

from serinus.cli.audit.commands import audit_app
from serinus.cli.config import config_app
from serinus.cli.demo.command import demo
from serinus.cli.drain import drain
from serinus.cli.health import health
from serinus.cli.models.commands import models_app
from serinus.cli.predict import predict
from serinus.cli.rollout.commands import rollout_app
from serinus.cli.serve import serve
from serinus.cli.top import top
from serinus.cli.traffic.commands import traffic_app


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


app = typer.Typer(name="serinus", no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
app.callback()(_root)
app.command("demo")(demo)
app.command("serve")(serve)
app.command("predict")(predict)
app.add_typer(models_app, name="models")
app.add_typer(rollout_app, name="rollout")
app.add_typer(traffic_app, name="traffic")
app.command("top")(top)
app.command("health")(health)
app.command("drain")(drain)
app.add_typer(audit_app, name="audit")
app.add_typer(config_app, name="config")
