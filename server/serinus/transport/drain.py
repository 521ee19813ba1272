"""The moment at which the server begins to go away, for whoever would otherwise wait on a client for ever."""

import asyncio
from typing import Any


class Drain:
    """Not begun → begun; never back."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    @property
    def has_begun(self) -> bool:
        """Whether the server is going away."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Go away from now on."""
        self._begun.set()

    async def first_of(self, task: asyncio.Task[Any]) -> None:
        """Wait until `task` ends; when the drain begins before that, cancel it."""
        begun = asyncio.create_task(self._begun.wait())
        try:
            await asyncio.wait((task, begun), return_when=asyncio.FIRST_COMPLETED)
        finally:
            begun.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
