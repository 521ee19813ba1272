"""What several commands of `serinus rollout` take, and how ID|MODEL is read."""

from typing import Annotated

import typer

from serinus.cli.output import CommandFailed
from serinus.cli.rollout.words import ENDS, status_name
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import Client, NotFound

RolloutArgument = Annotated[
    str, typer.Argument(metavar="ID|MODEL", help="A rollout's id, or a model's name for its newest rollout.")
]
RolloutRevisionOption = Annotated[
    int | None,
    typer.Option(
        "--expected-revision",
        metavar="N",
        min=0,
        help="Do it only if the rollout is still at this revision, as `rollout status` tells it.",
    ),
]


def found(client: Client, which: str) -> pb.Rollout:
    """The rollout with this id, or else the newest of the model with this name.

    Raises:
        CommandFailed: there is neither.
        SerinusError: the server did not answer.
    """
    try:
        return client.admin.get_rollout(which)
    except NotFound:
        pass  # it may be a model's name
    try:
        return client.admin.get_rollout(model=which)
    except NotFound as error:
        raise CommandFailed(
            f"no rollout, and no model that has one, is called {which[:128]!r}: 'serinus rollout list' shows them all"
        ) from error


def id_to_change(client: Client, which: str) -> str:
    """The id that a command to change something means: a model's name stands for its active rollout.

    Raises:
        CommandFailed: the model has none.
        SerinusError: the server did not answer.
    """
    rollout = found(client, which)
    # A rollout that was named by its id is the server's to refuse.
    if rollout.id != which and rollout.status in ENDS:
        raise CommandFailed(
            f"model {which!r} has no active rollout: its last one, {rollout.id}, ended {status_name(rollout.status)}"
        )
    return rollout.id
