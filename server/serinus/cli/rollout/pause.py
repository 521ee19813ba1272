"""`serinus rollout pause` and `resume`: the clock of a rollout."""

from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import ActorOption
from serinus.cli.rollout.change import change
from serinus.cli.rollout.flags import RolloutArgument, RolloutRevisionOption
from serinus.cli.target import Server, server_command


@server_command
def pause(
    *,
    which: RolloutArgument,
    expected_revision: RolloutRevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Stop the clock of a rollout; the weights stay, and a candidate that fails is still taken out."""
    change(
        server,
        which,
        lambda client, id_: client.admin.pause_rollout(id_, actor=actor, expected_revision=expected_revision),
        as_json=as_json,
    )


@server_command
def resume(
    *,
    which: RolloutArgument,
    expected_revision: RolloutRevisionOption = None,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Let a rollout go on that was paused, or that waits because its stage came to no end."""
    change(
        server,
        which,
        lambda client, id_: client.admin.resume_rollout(id_, actor=actor, expected_revision=expected_revision),
        as_json=as_json,
    )
