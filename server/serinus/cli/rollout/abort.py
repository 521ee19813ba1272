"""`serinus rollout abort`: a person takes the candidate out."""

from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ActorOption
from serinus.cli.rollout.change import change
from serinus.cli.rollout.flags import RolloutArgument, RolloutRevisionOption
from serinus.cli.target import Server, server_command


@server_command
def abort(
    *,
    which: RolloutArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the journal.")] = "",
    expected_revision: RolloutRevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Take the candidate out at once, and end the rollout."""
    change(
        server,
        which,
        lambda client, id_: client.admin.abort_rollout(
            id_, reason=reason, actor=actor, expected_revision=expected_revision
        ),
        as_json=as_json,
    )
