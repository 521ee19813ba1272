"""`serinus drain`: a server goes away without losing a call."""

import sys
from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ActorOption
from serinus.cli.output import CommandFailed, ExitCode, cell, console, print_json
from serinus.cli.target import Server, connected, server_command


@server_command
def drain(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Let a server go away as SIGTERM does: no new calls, then the calls in flight, then the process."""
    if not yes:
        if not sys.stdin.isatty():
            raise CommandFailed(f"nobody is there to ask: drain {server.address} with --yes", code=ExitCode.USAGE)
        typer.confirm(f"Let the server at {server.address} answer its calls and end?", abort=True, err=True)
    with connected(server) as client:
        client.admin.drain(actor=actor)
    if as_json:
        print_json({"server": server.address, "draining": True})
    else:
        console().print(cell(f"{server.address} takes no new calls, and ends once it has answered"))
