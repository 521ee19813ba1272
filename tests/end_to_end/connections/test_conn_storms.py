"""Cancellations and deadlines by the thousand: what was given up is not run, and leaves nothing behind."""

import asyncio
import collections
import random
from collections.abc import Sequence

import grpc
import numpy as np

from serinus_api.v1 import predict_pb2 as pb
from serinus_client import AsyncClient, Transport
from tests.end_to_end.faults.loops import LONG, MODEL, loop_call, runs
from tests.end_to_end.faults.messages import GOOD_PREDICT, PREDICT, PREDICT_STREAM
from tests.support.invariants import World
from tests.support.server import Look

CODES = {code.value[0]: code for code in grpc.StatusCode}
EXPIRED = grpc.StatusCode.DEADLINE_EXCEEDED
WAVE = 1000
STORM = 100_000
UNARY = 4000
INPUTS = {"x": np.ones((1, 8), np.float32)}
MIB = 1 << 20


async def test_a_hundred_thousand_calls_in_frames_that_are_cancelled(world: World):
    """Rows 40, 41: each ends once, next to none of them runs, and memory does not grow from the middle to the end."""
    async with world.standing():
        before = await world.scrape()
        busy = asyncio.create_task(_keep_busy(world))
        await world.until("serinus_bytes_in_flight", len(loop_call(LONG)))
        ends, (middle, end) = await _storm(world, STORM // WAVE)
        busy.cancel()
        await asyncio.wait((busy,))
        await world.until("serinus_bytes_in_flight", 0)
        ran = runs(before, await world.scrape())[1]
    assert sum(ends.values()) == STORM
    assert ends[grpc.StatusCode.CANCELLED] > STORM / 2
    assert ran < ends[grpc.StatusCode.OK] + STORM / 100
    assert end.rss_bytes - middle.rss_bytes < 4 * MIB, "80 bytes a call"


async def _keep_busy(world: World) -> None:
    """Hold the only instance, again and again."""
    while True:
        world.tally.unsure += 1
        await world.channel.unary_unary(PREDICT)(loop_call(LONG), timeout=30)


async def _storm(world: World, waves: int) -> tuple[collections.Counter[grpc.StatusCode], Sequence[Look]]:
    """Waves of calls and of their cancellations: how they ended; what the server held after half of them and all."""
    call = pb.PredictRequest.FromString(loop_call(1))
    looks, ends = [], collections.Counter[grpc.StatusCode]()
    stream = world.channel.stream_stream(PREDICT_STREAM)(timeout=120)
    for wave in range(waves):
        ids = range(wave * WAVE, (wave + 1) * WAVE)
        await stream.write(pb.PredictFrame(calls=[pb.Call(id=n, request=call) for n in ids]).SerializeToString())
        await stream.write(pb.PredictFrame(cancel=ids).SerializeToString())
        waiting = set(ids)
        while waiting:
            for reply in pb.ReplyFrame.FromString(await stream.read()).replies:
                waiting.remove(reply.id)  # a call ends once
                ends[CODES[reply.error.code]] += 1
        if wave + 1 in {waves // 2, waves}:
            looks.append(await world.server.look())
    await stream.done_writing()
    assert await stream.code() is grpc.StatusCode.OK
    for code, count in ends.items():
        world.count(code, count)
    return ends, looks


async def test_callers_of_the_client_that_give_up(world: World):
    """Rows 40, 41: its tasks are cancelled at any moment; the calls that are not are answered."""
    rng = random.Random(40)
    async with world.standing(), AsyncClient(world.server.address, transport=Transport.FRAMES) as client:
        answered = 0
        for _ in range(10):
            calls = [asyncio.create_task(client.predict("tabular", INPUTS)) for _ in range(WAVE)]
            for call in rng.sample(calls, WAVE):
                if rng.random() < 0.01:
                    await asyncio.sleep(0)
                if rng.random() < 0.9:
                    call.cancel()
            await asyncio.wait(calls)
            assert [call for call in calls if not call.cancelled() and call.exception() is not None] == []
            answered += sum(not call.cancelled() for call in calls)
        world.count(grpc.StatusCode.OK, answered)
        world.count(grpc.StatusCode.CANCELLED, 10 * WAVE - answered)
    assert answered > 0


async def test_thousands_of_unary_calls_that_are_cancelled(world: World):
    """Rows 40, 41: at once, a moment later, or when they may have been answered; no task and no file stays."""
    rng = random.Random(41)
    async with world.standing():
        for _ in range(UNARY // 100):
            calls = [world.channel.unary_unary(PREDICT)(GOOD_PREDICT, timeout=30) for _ in range(100)]
            for call in calls:
                if rng.random() < 0.3:
                    await asyncio.sleep(rng.choice((0, 0.0005)))
                call.cancel()
            for call in calls:
                world.count(await call.code())


async def test_calls_whose_time_ends_while_they_wait_are_never_run(world: World):
    """Row 42: of 300 calls behind a long one those run that are answered, and none besides."""
    async with world.standing():
        before = await world.scrape()
        blocker = asyncio.create_task(world.call(PREDICT, loop_call(4 * LONG)))
        await world.until("serinus_bytes_in_flight", len(loop_call(4 * LONG)))
        answers = await asyncio.gather(
            *(world.call(PREDICT, loop_call(1), timeout_s=0.02 + 0.001 * n) for n in range(150)),
            *(world.call(PREDICT, loop_call(1, timeout_us=20_000 + 1000 * n)) for n in range(150)),
        )
        is_blocked = not blocker.done()
        await blocker
        after = await world.scrape()
        answered = sum(answer.code is grpc.StatusCode.OK for answer in answers)
        refused = sum(answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED for answer in answers)
        expired = sum(answer.code is EXPIRED for answer in answers)
    assert (answered + refused + expired, is_blocked) == (300, True)
    assert runs(before, after)[1] == 1 + answered
    assert after.total("serinus_queue_calls", **MODEL) == 0
