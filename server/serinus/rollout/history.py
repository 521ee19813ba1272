"""How rollouts are found that somebody names by their model; `app` plugs it in."""

from collections.abc import Sequence
from typing import Protocol

from serinus.rollout.ports import Journal, Stored


class History(Journal, Protocol):
    """A journal that finds rollouts by their model."""

    async def recent(self, model: str, limit: int) -> Sequence[Stored]:
        """The last rollouts of a model, newest first."""
        ...
