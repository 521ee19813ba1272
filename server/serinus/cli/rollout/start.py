"""`serinus rollout start`: a version begins to earn its calls."""

from typing import Annotated

import typer
import yaml

from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ActorOption, RevisionOption
from serinus.cli.output import CommandFailed, ExitCode, cell, console, print_json
from serinus.cli.rollout.documents import rollout_document
from serinus.cli.rollout.panel import plan_line
from serinus.cli.rollout.spec_files import SpecOption, read_spec, spec_with_defaults
from serinus.cli.rollout.watch import watch_to_end
from serinus.cli.rollout.words import candidate_text
from serinus.cli.target import Server, connected, server_command
from serinus.config.rollout_spec import RolloutSpec, dump_rollout_spec
from serinus.telemetry.log_fields import visible_lines
from serinus_api.v1 import admin_pb2 as pb


@server_command
def start(
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Whose calls to move; counts more than the file.")] = "",
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help="The version that is to become stable: 1.2.0, an alias, a range.")
    ] = "",
    file: SpecOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even though the last rollout of the same candidate failed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the plan here, show all of it, and start nothing.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Watch it to its end, as `rollout watch` does.")] = False,
    expected_revision: RevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Start a rollout: shadow, then canary at 5, 10, 50 and 100 percent, unless a file says otherwise."""
    if not model and file is None:
        raise CommandFailed("expected MODEL and CANDIDATE, or a plan with --file", code=ExitCode.USAGE)
    spec = read_spec(file, given={"model": model, "candidate": candidate, "force": force})
    if dry_run:
        _show_plan(spec, as_json=as_json)
        return
    with connected(server) as client:
        rollout = client.admin.start_rollout(dump_rollout_spec(spec), actor=actor, expected_revision=expected_revision)
    if as_json:
        print_json(rollout_document(rollout))
    else:
        _show(rollout, is_watched=watch)
    if watch:
        watch_to_end(server, rollout.id, until="", timeout_s=None, as_json=as_json)


def _show_plan(spec: RolloutSpec, *, as_json: bool) -> None:
    document = spec_with_defaults(spec)
    if as_json:
        print_json(document)
    else:
        typer.echo(visible_lines(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip()))


def _show(rollout: pb.Rollout, *, is_watched: bool) -> None:
    out = console()
    named = f"{rollout.model} {rollout.baseline} → {candidate_text(rollout)}"
    out.print(cell(f"rollout {rollout.id} has started: {named}", "bold"))
    if not is_watched:
        out.print(plan_line(rollout))
        out.print(cell(f"'serinus rollout watch {rollout.id}' shows how it goes", "dim"))
