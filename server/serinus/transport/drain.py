"""The moment at which the server begins to go away, and what must be over before the port may close."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from serinus.core.errors import Draining


class Drain:
    """Not begun → begun; never back.

    Before it begins calls are welcome. After that calls that arrive are refused, streams end by themselves, and `quiet`
    tells when no call arrives any more: `grpc.aio` drops calls that it has received but not yet handed to us when its
    server stops, so it may be stopped only then.

    Attributes:
        clock: Monotonic time in seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._begun = asyncio.Event()
        self._clock = clock
        self._last_arrival = 0.0

    @property
    def has_begun(self) -> bool:
        """Whether the server is going away."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Go away from now on."""
        self._last_arrival = self._clock()
        self._begun.set()

    def arrive(self) -> None:
        """A call has arrived.

        Raises:
            Draining: it must go elsewhere.
        """
        if self._begun.is_set():
            self._last_arrival = self._clock()
            raise Draining("the server is going away")

    async def quiet(self, *, silence_s: float, at_most_s: float) -> None:
        """Wait until no call has arrived for `silence_s`, but no longer than `at_most_s`."""
        give_up = self._clock() + at_most_s
        # A sleep, not an event: what is waited for is that nothing happens.
        while (silent_at := self._last_arrival + silence_s) > (now := self._clock()) and now < give_up:  # noqa: ASYNC110 - see above
            await asyncio.sleep(min(silent_at, give_up) - now)

    async def run(self, job: Coroutine[Any, Any, None]) -> None:
        """Run `job` until it ends, or until the drain begins; what it raises is raised."""
        task = asyncio.create_task(job)
        try:
            await self.first_of(task)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,))
        if not task.cancelled():
            task.result()

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
