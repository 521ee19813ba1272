"""A rollout as it moves, through a server's restarts and network troubles, to its end."""

from collections.abc import AsyncGenerator, Awaitable, Callable

from serinus.cli.rollout.words import ENDS
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import DeadlineExceeded, Unavailable


async def followed(
    watch: Callable[[], AsyncGenerator[pb.Rollout, None]], *, wait: Callable[[], Awaitable[None]]
) -> AsyncGenerator[pb.Rollout | None, None]:
    """The rollout whenever the server tells of it, until it has ended; None each time that the server does not answer.

    Args:
        watch: Asks the server to tell.
        wait: Passes the time before it is asked again.

    Raises:
        SerinusError: the server did not answer the first time, or refused.
    """
    was_told = False
    while True:
        try:
            stories = watch()
            try:
                async for rollout in stories:
                    was_told = True
                    yield rollout
                    if rollout.status in ENDS:
                        return
            finally:
                await stories.aclose()
        except (Unavailable, DeadlineExceeded):
            if not was_told:
                raise
            yield None
        # A server that goes away ends the story in the middle; another one, or it itself, will tell the rest.
        await wait()
