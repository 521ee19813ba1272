"""What all commands share by which a person changes a rollout."""

from collections.abc import Callable

from rich.text import Text

from serinus.cli.output import cell, console, print_json
from serinus.cli.rollout.documents import rollout_document
from serinus.cli.rollout.flags import id_to_change
from serinus.cli.rollout.words import candidate_text, status_name, status_style
from serinus.cli.target import Server, connected
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import Client


def change(server: Server, which: str, tell: Callable[[Client, str], pb.Rollout], *, as_json: bool) -> None:
    """Tell the server to change the rollout that `which` names, and show where it stands then.

    Args:
        server: To tell.
        which: A rollout's id, or a model's name for its active one.
        tell: Called with a client and the rollout's id.
        as_json: Show a document instead of words.

    Raises:
        CommandFailed: there is no such rollout, or the server refused.
    """
    with connected(server) as client:
        rollout = tell(client, id_to_change(client, which))
    if as_json:
        print_json(rollout_document(rollout))
        return
    named = cell(f"{rollout.model} {rollout.baseline} → {candidate_text(rollout)} ", "bold")
    out = console()
    out.print(Text.assemble(named, cell(status_name(rollout.status).replace("_", " "), status_style(rollout.status))))
    if rollout.reason:
        out.print(cell(rollout.reason))
    out.print(cell(f"rollout {rollout.id} is at revision {rollout.revision}", "dim"))
