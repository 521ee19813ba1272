"""What a hundred thousand calls leave behind that were cancelled while they waited: nothing."""

import asyncio
import gc
import random
import tracemalloc

from serinus.core.criticality import Criticality
from serinus.serving.admission import Admission, ByteBudget
from serinus.serving.batching.batcher import Batcher
from tests.serving.batching.batchers import batcher
from tests.support.fakes import FAR, FakeRunner, request, settle
from tests.support.virtual_loop import virtual

WAVE = 1000


async def wave(layer: Admission, inner: Batcher, rng: random.Random) -> None:
    """Calls of many kinds that come at once and go at once."""
    loop = asyncio.get_running_loop()
    calls = []
    for number in range(WAVE):
        wish = request(number, deadline=FAR, size_bytes=100)
        wish.tenant, wish.criticality = f"t{rng.randrange(5)}", rng.choice(list(Criticality))
        wish.has_deadline = rng.random() < 0.5
        calls.append(loop.create_task(layer.predict(wish)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the batcher has looked at them, and its only slot is taken
    assert inner.queued_calls == WAVE
    rng.shuffle(calls)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert all(call.cancelled() for call in calls)


@virtual
async def test_a_storm_of_cancellations_leaves_nothing():
    """No entry, no share, no byte of the budget, nothing watched, no memory; and no row of them runs."""
    rng = random.Random(1)
    runner = FakeRunner(gate=asyncio.Event())
    budget = ByteBudget(1 << 30)
    async with batcher(runner) as inner:
        layer = Admission(
            inner, budget=budget, backlog=inner, max_calls=2 * WAVE, clock=asyncio.get_running_loop().time
        )
        running = asyncio.create_task(layer.predict(request(-1, deadline=FAR)))
        await settle()
        for _ in range(10):
            await wave(layer, inner, rng)
        gc.collect()
        tracemalloc.start()
        await wave(layer, inner, rng)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for _ in range(88):
            await wave(layer, inner, rng)
        tracemalloc.start()
        await wave(layer, inner, rng)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after < before + 10_000
        assert repr(inner) == "<Batcher 0 calls (0 rows) queued, 1 runs>"
        assert (repr(inner._expiry), budget.used) == ("<Expiry 1 watched>", 0)
        runner.gate.set()
        await running
    assert runner.runs == [[-1]]
