"""Batchers around fake runners, in one line."""

import asyncio
from collections.abc import Callable

from serinus.core.predictor import Predictor, Response
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.batcher import Batcher
from serinus.serving.batching.slots import RunSlots
from tests.support.fakes import FakeBatchMetrics, FakeRunner, request


def batcher(
    runner: FakeRunner,
    *,
    slots: RunSlots | None = None,
    policy: BatchPolicy | None = None,
    metrics: FakeBatchMetrics | None = None,
    instances: int | None = None,
    queue_timeout_s: float | None = None,
) -> Batcher:
    return Batcher(
        runner,
        policy=policy or BatchPolicy(),
        slots=slots or RunSlots(1),
        metrics=metrics or FakeBatchMetrics(),
        instances=instances,
        queue_timeout_s=queue_timeout_s,
        clock=asyncio.get_running_loop().time,
    )


def call(layer: Predictor, *tags: int, **about: float) -> asyncio.Task[Response]:
    return asyncio.get_running_loop().create_task(layer.predict(request(*tags, **about)))


def now() -> float:
    return asyncio.get_running_loop().time()


async def ticks_until(reached: Callable[[], bool]) -> None:
    """Give way tick by tick, for tests of what happens between two ticks."""
    while not reached():  # noqa: ASYNC110 - no event is set at such moments
        await asyncio.sleep(0)
