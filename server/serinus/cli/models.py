"""`serinus models`: what a server has."""

import typer

from serinus.cli.output import cell, console, plain_table, print_json
from serinus.cli.target import DEFAULT_SERVER, JsonOption, ServerOption, connected
from serinus_api.v1 import admin_pb2 as pb

models_app = typer.Typer(help="See what a server has.", no_args_is_help=True)

_STYLES = {
    pb.MODEL_STATE_READY: "green",
    pb.MODEL_STATE_LOADING: "yellow",
    pb.MODEL_STATE_UNLOADING: "yellow",
    pb.MODEL_STATE_UNAVAILABLE: "red",
}


@models_app.command("list")
def list_models(*, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """List every version of every model that the server knows of: its state, why, and the calls that it answered."""
    with connected(server) as client:
        status = client.admin.server_status()
    if as_json:
        print_json([_document(model) for model in status.models])
        return
    if not status.models:
        console().print(f"The server at {server} has no models: start it with --model or --model-repository.")
        return
    table = plain_table("MODEL", "VERSION", "NUMBER", "STATE", "CALLS", "REASON", right=("NUMBER", "CALLS"))
    for model in status.models:
        table.add_row(
            cell(model.model),
            cell(model.version),
            cell(model.version_number),
            cell(state_name(model.state), _STYLES.get(model.state, "")),
            cell(model.answered),
            cell(model.reason),
        )
    console().print(table)


def state_name(state: "pb.ModelState.ValueType") -> str:
    """A state without the prefix of its enum: READY."""
    return pb.ModelState.Name(state).removeprefix("MODEL_STATE_")


def _document(model: pb.ModelStatus) -> dict[str, object]:
    return {
        "model": model.model,
        "version": model.version,
        "version_number": model.version_number,
        "state": state_name(model.state),
        "reason": model.reason,
        "calls": model.answered,
    }
