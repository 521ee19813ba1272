"""`serinus traffic split`: a model's calls shared out by hand."""

from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ActorOption, NameArgument, RevisionOption
from serinus.cli.output import CommandFailed, ExitCode
from serinus.cli.target import Server, connected, server_command
from serinus.cli.traffic.documents import show_traffic
from serinus.cli.traffic.texts import parse_arms, parse_rules


@server_command
def split(
    *,
    name: NameArgument,
    arms: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VERSION=PERCENT]...", help="Such as 1.1.0=5; stable gets what is left."),
    ] = None,
    rule: Annotated[
        list[str],
        typer.Option("--rule", metavar="NAME=VALUE:VERSION", help="Callers like cohort=beta:1.1.0; repeatable."),
    ] = [],  # noqa: B006 - typer reads it and never changes it
    clear: Annotated[bool, typer.Option("--clear", help="Send all calls to stable again.")] = False,
    expected_revision: RevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Share a model's calls out among its versions by hand, without a judge; all servers follow within a second."""
    if clear == bool(arms or rule):
        raise CommandFailed("expected either VERSION=PERCENT or --rule, or --clear", code=ExitCode.USAGE)
    wanted, rules = parse_arms(arms or ()), parse_rules(rule)
    with connected(server) as client:
        traffic = client.admin.set_split(name, wanted, rules=rules, actor=actor, expected_revision=expected_revision)
    show_traffic(traffic, as_json=as_json)
