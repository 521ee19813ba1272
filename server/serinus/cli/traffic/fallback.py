"""`serinus traffic fallback`: who answers when the chosen version of a model cannot."""

from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ActorOption, NameArgument, RevisionOption
from serinus.cli.output import CommandFailed, ExitCode
from serinus.cli.target import Server, connected, server_command
from serinus.cli.traffic.documents import show_traffic
from serinus.cli.traffic.texts import parse_targets, parse_triggers
from serinus_api.v1 import admin_pb2 as pb


@server_command
def fallback(
    *,
    name: NameArgument,
    to: Annotated[
        list[str],
        typer.Option("--to", metavar="VERSION", help="1.0.0, an alias, or other@stable; repeatable, tried in order."),
    ] = [],  # noqa: B006 - typer reads it and never changes it
    constant: Annotated[
        str, typer.Option("--constant", metavar="JSON", help="Values of one row by output, tried last: '{\"y\": [0]}'.")
    ] = "",
    on: Annotated[
        str, typer.Option("--on", metavar="A,B", help="error, timeout, overload, invalid, breaker (default: all).")
    ] = "",
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout-s", metavar="S", min=0.001, help="What the chosen version may take (default: any time)."
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="SHARE", min=0.0001, max=1, help="Of the calls, at most (default: 0.1)."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Let errors be errors again.")] = False,
    expected_revision: RevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Say who answers when the chosen version of a model fails, is too late, or answers nonsense."""
    if clear == bool(to or constant):
        raise CommandFailed("expected either --to or --constant, or --clear", code=ExitCode.USAGE)
    wanted = pb.Fallback(
        targets=parse_targets(to, constant),
        triggers=parse_triggers(on),
        attempt_timeout_s=timeout_s or 0.0,
        budget=budget or 0.0,
    )
    with connected(server) as client:
        traffic = client.admin.set_fallback(name, wanted, actor=actor, expected_revision=expected_revision)
    show_traffic(traffic, as_json=as_json)
