"""Callers that never stop, and what became of their calls."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import numpy as np

from serinus_client import AsyncClient, RetryPolicy, SerinusError, Transport

INPUTS = {"x": np.ones((1, 8), np.float32)}
_CLIENTS = 3  # of each transport: connections enough for both workers to have some
_CALLERS = 3  # of each client
_PAUSE_S = 0.01


class Load:
    """What became of the calls so far.

    Attributes:
        answers: Time at which each answered call ended and how long it took, in seconds.
        failures: Time at which each failed call ended, and why.
    """

    def __init__(self) -> None:
        self.answers: list[tuple[float, float]] = []
        self.failures: list[tuple[float, SerinusError]] = []

    async def call(self, client: AsyncClient) -> None:
        """Call again and again."""
        while True:
            began = time.monotonic()
            try:
                await client.predict("tab", INPUTS)
                self.answers.append((time.monotonic(), time.monotonic() - began))
            except SerinusError as error:
                self.failures.append((time.monotonic(), error))
            await asyncio.sleep(_PAUSE_S)

    def p99_s(self, since: float) -> float:
        """Of the calls that were answered after that time."""
        taken = [taken_s for ended, taken_s in self.answers if ended >= since]
        return float(np.percentile(taken, 99)) if taken else float("inf")


@contextlib.asynccontextmanager
async def load(target: str, retry: RetryPolicy | None = None) -> AsyncIterator[Load]:
    """Callers over frames and unary, each client with connections of its own; all have been answered at first."""
    made = Load()
    options = {} if retry is None else {"retry": retry}
    async with contextlib.AsyncExitStack() as block:
        callers = await block.enter_async_context(asyncio.TaskGroup())
        tasks = []
        for transport in [Transport.FRAMES, Transport.UNARY] * _CLIENTS:
            client = await block.enter_async_context(AsyncClient(target, transport=transport, **options))
            await client.predict("tab", INPUTS)
            tasks += [callers.create_task(made.call(client)) for _ in range(_CALLERS)]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
