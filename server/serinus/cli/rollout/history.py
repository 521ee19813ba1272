"""`serinus rollout history`: what has happened to a rollout, who did it, and why."""

from collections.abc import Iterable

from rich.table import Table

from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import time_text
from serinus.cli.output import cell, console, plain_table, print_json
from serinus.cli.rollout.documents import event_document, exposed_by
from serinus.cli.rollout.flags import RolloutArgument, found
from serinus.cli.rollout.words import status_name, status_style
from serinus.cli.target import Server, connected, server_command
from serinus_api.v1 import admin_pb2 as pb


@server_command
def history(*, which: RolloutArgument, server: Server, as_json: JsonOption = False) -> None:
    """Show the journal of a rollout, oldest first."""
    with connected(server) as client:
        events = list(client.admin.rollout_journal(found(client, which).id))
    if as_json:
        print_json([event_document(event) for event in events])
    else:
        console().print(events_table(events))


def events_table(events: Iterable[pb.RolloutEvent]) -> Table:
    """One line for each entry; EXPOSED are the calls that the candidates had got by then."""
    table = plain_table("", "AT", "EVENT", "STATUS", "EXPOSED", "ACTOR", "REASON", right=("", "EXPOSED"))
    for event in events:
        exposed = exposed_by(event)
        table.add_row(
            cell(event.number, "dim"),
            cell(time_text(event.at)),
            cell(event.event, "bold"),
            cell(status_name(event.status), status_style(event.status)),
            "-" if exposed is None else f"{exposed:,}",
            cell(event.actor),
            cell(event.reason),
        )
    return table
