"""`serinus rollout promote`: a person moves a rollout on."""

from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ActorOption
from serinus.cli.rollout.change import change
from serinus.cli.rollout.flags import RolloutArgument, RolloutRevisionOption
from serinus.cli.target import Server, server_command


@server_command
def promote(
    *,
    which: RolloutArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Make the candidate stable at once, whatever the judge says.")
    ] = False,
    version: Annotated[
        str, typer.Option("--version", metavar="VERSION", help="The winner of an A/B test, or stable itself.")
    ] = "",
    expected_revision: RolloutRevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Move a rollout on: past an approval, or to its next stage if the judge says pass."""
    change(
        server,
        which,
        lambda client, id_: client.admin.promote_rollout(
            id_, force=force, version=version, actor=actor, expected_revision=expected_revision
        ),
        as_json=as_json,
    )
