"""`serinus rollout list`: which rollouts there are and were."""

import itertools
from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import time_text
from serinus.cli.output import cell, console, plain_table, print_json
from serinus.cli.rollout.documents import rollout_document
from serinus.cli.rollout.words import ENDS, candidate_text, status_name, status_style
from serinus.cli.target import Server, connected, server_command
from serinus.telemetry.log_fields import shortened
from serinus_api.v1 import admin_pb2 as pb

_LONGEST_REASON = 120  # `rollout status` has all of it


@server_command
def list_rollouts(
    *,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="Only this model's.")] = "",
    active: Annotated[bool, typer.Option("--active", help="Only those that have not ended.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 100,
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """List rollouts, newest first."""
    with connected(server) as client:
        rollouts = list(itertools.islice(client.admin.list_rollouts(model=model, active=active), limit))
    if as_json:
        print_json([rollout_document(rollout) for rollout in rollouts])
        return
    if not rollouts:
        console().print(cell("no such rollouts: start one with `serinus rollout start MODEL CANDIDATE`"))
        return
    table = plain_table("ID", "MODEL", "FROM", "TO", "STATUS", "STAGE", "STARTED", "BY", "REASON")
    for rollout in rollouts:
        table.add_row(
            cell(rollout.id),
            cell(rollout.model),
            cell(rollout.baseline),
            cell(candidate_text(rollout)),
            cell(status_name(rollout.status), status_style(rollout.status)),
            cell("" if rollout.status in ENDS else _stage(rollout)),
            cell(time_text(rollout.started_at)),
            cell(rollout.started_by),
            cell(shortened(rollout.reason, _LONGEST_REASON)),
        )
    console().print(table)


def _stage(rollout: pb.Rollout) -> str:
    return rollout.stages[rollout.stage] if rollout.stage < len(rollout.stages) else ""
