"""Follows the registry's changes over lost connections."""

import contextlib
from collections.abc import AsyncGenerator

from serinus_api.v1 import registry_pb2 as pb
from serinus_client.errors import Overloaded, SerinusError, Unavailable
from serinus_client.session import Session

WATCH = "/serinus.v1.RegistryService/Watch"


async def watch(session: Session, *, after_revision: int, model: str) -> AsyncGenerator[pb.Change, None]:
    """Each change after a revision once, in order, for ever.

    Raises:
        SerinusError: the server said no, or was away for longer than the client's retries bridge.
    """
    failures = 0
    while True:
        error: SerinusError = Unavailable("the server ended the watch")
        request = pb.WatchRequest(after_revision=after_revision, model=model)
        answers = session.download(WATCH, request, pb.WatchResponse, timeout_s=None)
        try:
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    failures = 0
                    after_revision = answer.change.revision
                    yield answer.change
        except (Overloaded, Unavailable) as lost:
            error = lost
        failures += 1
        await session.wait_before_retry(error, failures=failures)
