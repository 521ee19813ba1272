"""Lets the other workers of a machine come as far as the one that was told to load or unload what is registered."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from serinus.app.following import Following
from serinus.core.errors import ServerError
from serinus.lifecycle.models import Models
from serinus.registry.records import ModelRecord, Snapshot
from serinus.workers.control import Body

Wait = Callable[[ModelRecord, float], Awaitable[None]]
"""Returns when the other workers act by that record as well, or a while after they should have: this one began at the
given time, `time.monotonic()`, and does now."""


async def nobody_else(_record: ModelRecord, _began: float) -> None:
    """There are no other workers."""


class Changes(Protocol):
    """The registry as this process sees it."""

    def changes(self) -> AsyncIterator[Snapshot]:
        """The snapshot as it is now, then each newer one."""
        ...


class InStep:
    """The side of a worker that hears that another one was told.

    Attributes:
        follower: Sees the registry.
        following: Acts by it.
        models: What serves.
    """

    def __init__(self, follower: Changes, following: Following, models: Models) -> None:
        self._follower = follower
        self._following = following
        self._models = models

    async def follow(self, body: Body) -> Body:
        """Answers once this worker has loaded, and let go, what {"model": ..., "revision": ...} says."""
        model, revision = body["model"], int(body["revision"])
        async for snapshot in self._follower.changes():
            if snapshot.revision >= revision:
                self._following.apply(snapshot)
                break
        # Somebody asks for it, here as there: what failed here before is tried again.
        self._models.retry(model)
        with contextlib.suppress(ServerError):  # the index says so, for all workers
            await self._models.settled(model)
        await self._models.closed(model)
        return {}
