"""`serinus audit list`: who did what to the registry, and when."""

import itertools
import json
from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import time_text
from serinus.cli.output import cell, console, plain_table, print_json
from serinus.cli.target import Server, connected, server_command
from serinus_api.v1 import admin_pb2 as pb

_LONGEST_CHANGE = 120


@server_command
def list_audit(
    *,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="Only this model's.")] = "",
    after: Annotated[int, typer.Option("--after", metavar="N", min=0, help="Only those behind this revision.")] = 0,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 1000,
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """List the writes to the registry, oldest first."""
    with connected(server) as client:
        entries = list(itertools.islice(client.admin.list_audit(after_revision=after, model=model), limit))
    if as_json:
        print_json([_document(entry) for entry in entries])
        return
    table = plain_table("REVISION", "AT", "ACTOR", "ACTION", "MODEL", "VERSION", "BEFORE", "AFTER", right=("REVISION",))
    for entry in entries:
        table.add_row(
            cell(entry.revision),
            cell(time_text(entry.at)),
            cell(entry.actor),
            cell(entry.action),
            cell(entry.model),
            cell(entry.version),
            cell(_brief(entry.before_json)),
            cell(_brief(entry.after_json)),
        )
    console().print(table)


def _brief(text: str) -> str:
    if text == "{}":
        return ""
    return text if len(text) <= _LONGEST_CHANGE else text[: _LONGEST_CHANGE - 1] + "…"


def _document(entry: pb.AuditEntry) -> dict[str, object]:
    return {
        "revision": entry.revision,
        "at": time_text(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "model": entry.model,
        "version": entry.version,
        "before": _parsed(entry.before_json),
        "after": _parsed(entry.after_json),
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
    }


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # it was written by something else; shown as it is
