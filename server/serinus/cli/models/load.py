"""`serinus models load` and `unload`: what is served, whatever names it."""

from collections.abc import Sequence

from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ActorOption, ChosenArgument
from serinus.cli.output import cell, console, plain_table, print_json
from serinus.cli.states import state_name, state_style
from serinus.cli.target import Server, connected, server_command
from serinus_api.v1 import admin_pb2 as pb


@server_command
def load(*, chosen: ChosenArgument, actor: ActorOption = "", server: Server, as_json: JsonOption = False) -> None:
    """Serve a version from now on, and wait until it serves."""
    with connected(server) as client:
        answer = client.admin.load_model(chosen.model, chosen.selector, actor=actor)
    _show(answer.versions, chosen.model, as_json=as_json)


@server_command
def unload(*, chosen: ChosenArgument, actor: ActorOption = "", server: Server, as_json: JsonOption = False) -> None:
    """Stop serving a version, or all of a model; calls inside are answered first."""
    with connected(server) as client:
        answer = client.admin.unload_model(chosen.model, chosen.selector, actor=actor)
    _show(answer.versions, chosen.model, as_json=as_json)


def _show(versions: Sequence[pb.ModelStatus], model: str, *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "model": version.model,
                    "version": version.version,
                    "version_number": version.version_number,
                    "state": state_name(version.state),
                    "reason": version.reason,
                }
                for version in versions
            ]
        )
        return
    if not versions:
        console().print(cell(f"no version of {model} is served"))
        return
    table = plain_table("MODEL", "VERSION", "NUMBER", "STATE", "REASON", right=("NUMBER",))
    for version in versions:
        state = state_name(version.state)
        table.add_row(
            cell(version.model),
            cell(version.version),
            cell(version.version_number),
            cell(state, state_style(state)),
            cell(version.reason),
        )
    console().print(table)
