"""`serinus rollout status`: where a rollout stands, once."""

import time
from typing import Annotated

import typer
from rich.console import Console

from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import time_text
from serinus.cli.output import cell, console, print_json
from serinus.cli.rollout.documents import rollout_document
from serinus.cli.rollout.flags import found
from serinus.cli.rollout.panel import rollout_panel
from serinus.cli.target import Server, connected, server_command
from serinus_api.v1 import admin_pb2 as pb


@server_command
def status(
    *,
    which: Annotated[
        str,
        typer.Argument(
            metavar="ID|MODEL", help="A rollout's id, or a model's name for its newest (default: all active)."
        ),
    ] = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Show where a rollout stands and why, or all that are under way; JSON is then a list."""
    with connected(server) as client:
        if which:
            rollouts = [found(client, which)]
        else:
            # A list comes without the numbers.
            rollouts = [client.admin.get_rollout(each.id) for each in client.admin.list_rollouts(active=True)]
    if as_json:
        documents = [rollout_document(rollout) for rollout in rollouts]
        print_json(documents[0] if which else documents)
        return
    out = console()
    if not rollouts:
        out.print(cell(f"no rollout is under way at {server.address}; 'serinus rollout list' shows those that ended"))
    for place, rollout in enumerate(rollouts):
        if place:
            out.print()
        _print(rollout, out)


def _print(rollout: pb.Rollout, out: Console) -> None:
    out.print(rollout_panel(rollout, time.time()))
    out.print(
        cell(f"revision {rollout.revision}, started {time_text(rollout.started_at)} by {rollout.started_by}", "dim")
    )
