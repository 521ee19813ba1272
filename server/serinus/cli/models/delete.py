"""`serinus models delete`: a version, for good."""

import sys
from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ActorOption, ExactArgument, RevisionOption
from serinus.cli.output import CommandFailed, ExitCode, cell, console, print_json
from serinus.cli.target import Server, connected, server_command
from serinus.telemetry.log_fields import visible


@server_command
def delete(
    *,
    chosen: ExactArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    expected_revision: RevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Delete a version for good: its number is never used again. Only 1.2.0 will do, no alias and no range."""
    named = visible(f"{chosen.model}@{chosen.selector}")
    if not yes:
        if not sys.stdin.isatty():
            raise CommandFailed(f"nobody is there to ask: delete {named} with --yes", code=ExitCode.USAGE)
        typer.confirm(f"Delete {named} for good?", abort=True, err=True)
    with connected(server) as client:
        revision = client.registry.delete(
            chosen.model, chosen.selector, expected_revision=expected_revision, actor=actor
        )
    if as_json:
        print_json({"model": chosen.model, "version": chosen.selector, "deleted": True, "model_revision": revision})
    else:
        console().print(cell(f"{named} is deleted"))
