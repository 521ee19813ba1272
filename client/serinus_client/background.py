"""Tasks that a client owns: none outlives it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Tasks that run beside the callers' own. They end by themselves or by `close`; none may raise."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    def spawn(self, job: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `job`, and hold it: the loop alone would let it be collected. After `close` it is cancelled at once."""
        task = asyncio.get_running_loop().create_task(job)
        if self._is_closed:
            task.cancel()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        self._is_closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
