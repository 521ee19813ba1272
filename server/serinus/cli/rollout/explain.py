"""`serinus rollout explain`: why a rollout ended as it did, with the evidence."""

import time
from collections.abc import Iterator, Sequence

from rich.console import RenderableType

from serinus.cli import units
from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import time_text
from serinus.cli.output import cell, console, plain_table, print_json
from serinus.cli.rollout.documents import event_document, rollout_document
from serinus.cli.rollout.flags import RolloutArgument, found
from serinus.cli.rollout.history import events_table
from serinus.cli.rollout.panel import heading, plan_line
from serinus.cli.rollout.tables import arms_table, checks_table, pairs_line
from serinus.cli.rollout.words import ENDS, outcome_name, outcome_style, status_style
from serinus.cli.target import Server, connected, server_command
from serinus_api.v1 import admin_pb2 as pb


@server_command
def explain(*, which: RolloutArgument, server: Server, as_json: JsonOption = False) -> None:
    """Show what a rollout went through, whom it exposed, and the numbers behind the verdict."""
    with connected(server) as client:
        rollout = found(client, which)
        events = list(client.admin.rollout_journal(rollout.id))
    if as_json:
        print_json(
            {
                "rollout": rollout_document(rollout),
                "exposed": exposed(rollout),
                "journal": list(map(event_document, events)),
            }
        )
        return
    out = console()
    for part in explanation(rollout, events, time.time()):
        out.print(part)


def exposed(rollout: pb.Rollout) -> int:
    """Calls that candidates got by weight, since the rollout began."""
    return sum(arm.total_exposures for arm in rollout.arms[1:])


def explanation(rollout: pb.Rollout, events: Sequence[pb.RolloutEvent], now: float) -> Iterator[RenderableType]:
    """What to print, from the top.

    Args:
        rollout: As the server said.
        events: Its journal.
        now: Seconds since 1970.
    """
    yield heading(rollout, now)
    if rollout.reason:
        yield cell(rollout.reason, status_style(rollout.status))
    yield plan_line(rollout)
    yield cell(f"started {time_text(rollout.started_at)} by {rollout.started_by}", "dim")
    yield ""
    yield cell("What happened", "bold")
    yield events_table(events)
    yield ""
    yield cell("Who was exposed", "bold")
    yield _exposure_table(rollout)
    if rollout.pairs.pairs or rollout.pairs.dropped:
        yield pairs_line(rollout.pairs)
    yield ""
    yield cell("In the last stage" if rollout.status in ENDS else "In this stage", "bold")
    yield arms_table(rollout)
    if rollout.slow_s:
        yield cell(f"slow is what takes longer than {units.seconds(rollout.slow_s)}", "dim")
    yield ""
    yield from _evidence(rollout)


def _exposure_table(rollout: pb.Rollout) -> RenderableType:
    whole = sum(arm.total_exposures for arm in rollout.arms)
    table = plain_table("VERSION", "CALLS", "SHARE", "", right=("CALLS", "SHARE"))
    for place, arm in enumerate(rollout.arms):
        table.add_row(
            cell(arm.version),
            f"{arm.total_exposures:,}",
            units.percent(arm.total_exposures / whole) if whole else "-",
            cell("candidate" if place else "baseline", "dim"),
        )
    return table


def _evidence(rollout: pb.Rollout) -> Iterator[RenderableType]:
    yield cell("What the judge says", "bold")
    if not rollout.HasField("verdict"):
        yield cell("nothing: no stage was judged", "dim")
        return
    # The reason is what the checks say, which follows.
    yield cell(outcome_name(rollout.verdict.outcome).upper(), f"bold {outcome_style(rollout.verdict.outcome)}")
    yield checks_table(rollout.verdict)
    for check in rollout.verdict.checks:
        yield cell(check.sentence, outcome_style(check.outcome))
