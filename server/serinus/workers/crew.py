"""The workers as those see them that speak for all; a `Supervisor` is one."""

from collections.abc import Sequence
from typing import Protocol

from serinus.workers.control import Body
from serinus.workers.facts import Failure, WorkerFacts


class Crew(Protocol):
    """All workers of a supervisor."""

    def workers(self) -> Sequence[WorkerFacts]:
        """All places, in order."""
        ...

    async def ask(self, index: int, kind: str, body: Body, *, timeout_s: float) -> Body:
        """What the worker in a place answers; ChannelLost, NotAnswered or TimeoutError if it does not."""
        ...

    async def ask_all(self, kind: str, body: Body, *, timeout_s: float) -> dict[int, Body | Failure]:
        """What each of them answers, by its place."""
        ...
