"""Calls that share runs: each gets its own rows back, and no call pays for another's mistake."""

import asyncio
import random
from collections.abc import Iterable

import grpc
import numpy as np
import pytest

from open_inference import grpc_service_pb2 as oip
from serinus.core.dtypes import DType
from serinus_api.v1 import predict_pb2 as pb
from tests.end_to_end.faults.messages import (
    INFER,
    INFER_STREAM,
    PREDICT,
    PREDICT_STREAM,
    f32,
    infer,
    infer_arrays,
    infer_input,
    predict,
    predict_arrays,
    tensor,
)
from tests.support.invariants import World, assert_refused

INTERNAL = grpc.StatusCode.INTERNAL
OK = grpc.StatusCode.OK
ROWS = 32
MOST_WAITING = 2048  # calls; a frame is smaller, so that a frame half made never waits for itself


async def frames(world: World, calls: Iterable[Iterable[bytes]]) -> dict[int, pb.Reply]:
    """Make the calls of each frame, frame by frame; replies by number of call.

    No more calls wait than the queue holds by default: a flood would rightly be refused, on a slow machine first.
    """
    replies: dict[int, pb.Reply] = {}
    places = asyncio.Semaphore(MOST_WAITING)
    number = 0
    stream = world.channel.stream_stream(PREDICT_STREAM)(timeout=60)

    async def write() -> None:
        nonlocal number
        for requests in calls:
            frame = pb.PredictFrame()
            for request in requests:
                await places.acquire()
                frame.calls.add(id=number, request=pb.PredictRequest.FromString(request))
                number += 1
            await stream.write(frame.SerializeToString())
        await stream.done_writing()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        async for message in stream:
            for reply in pb.ReplyFrame.FromString(message).replies:
                assert reply.id not in replies, "a call ends once"
                replies[reply.id] = reply
                places.release()
                failed = reply.WhichOneof("outcome") == "error"
                world.count(INTERNAL if failed else OK)
    assert set(replies) == set(range(number)), "every call ends"
    return replies


def row(value: float) -> bytes:
    """Four values of one row."""
    return f32(value, value + 0.25, -value, 1 / 3)


@pytest.mark.parametrize("poisoned", [(7,), (0, 31), (3, 4, 20)])
async def test_poison_in_a_batch(world: World, poisoned: tuple[int, ...]):
    """Row 44: of 32 calls in one run only those at fault fail, after few more runs; the others answer as if alone."""
    calls = [
        predict("poison", tensor(shape=(1, 4), data=row(666.0 if number in poisoned else number)))
        for number in range(ROWS)
    ]
    async with world.standing():
        solo = [await world.call(PREDICT, call) for call in calls]
        before = await world.scrape()
        replies = await frames(world, [calls])
        after = await world.scrape()
    for number, (alone, reply) in enumerate(zip(solo, (replies[n] for n in range(ROWS)), strict=True)):
        if number in poisoned:
            assert_refused(alone, INTERNAL, "MODEL_FAILED", "the model failed while it ran")
            assert (reply.error.code, reply.error.reason) == (INTERNAL.value[0], "MODEL_FAILED")
        else:
            assert reply.response.outputs[0].data == row(number)
            assert reply.response.outputs == pb.PredictResponse.FromString(alone.content).outputs
    assert after.rise(before, "serinus_poison_calls_total", model="poison") == len(poisoned)
    reruns = after.rise(before, "serinus_batches_total", model="poison", reason="rerun")
    assert reruns <= 2 * len(poisoned) * ROWS.bit_length()


async def test_poison_among_unary_calls(world: World):
    """Row 44: the same for concurrent calls of the other protocol, whichever of them share a run."""
    async with world.standing():
        answers = await asyncio.gather(
            *[
                world.call(
                    INFER,
                    infer("poison", infer_input(shape=(1, 4)), raw=(row(666.0 if number == 13 else number),)),
                )
                for number in range(ROWS)
            ]
        )
    for number, answer in enumerate(answers):
        if number == 13:
            assert_refused(answer, INTERNAL, "MODEL_FAILED", "the model failed while it ran")
        else:
            assert infer_arrays(answer.content)["y"].tobytes() == row(number)


async def test_rows_that_would_change_their_neighbours_run_alone(world: World):
    """Row 45: a model that mixes rows is found out when it is loaded, and answers each call as if alone."""
    async with world.standing():
        replies = await frames(world, [[predict("leak", tensor(shape=(1, 4), data=row(n))) for n in range(ROWS)]])
    assert {reply.response.outputs[0].data for reply in replies.values()} == {f32(0, 0, 0, 0)}
    assert {reply.response.batch_rows for reply in replies.values()} == {1}
    notes = [line for line in world.server.log.read_text().splitlines() if '"model note"' in line and '"leak"' in line]
    assert len(notes) == 1, "the operator is told"


async def test_random_mixes_answer_as_alone(world: World):
    """Row 45: whatever shares a run, of whatever length, each answer equals its own solo answer."""
    rng = random.Random(45)

    def call(number: int) -> bytes:
        if number % 2:
            rows = rng.randint(1, 3)
            data = f32(*[rng.uniform(-9, 9) for _ in range(8 * rows)])
            return predict("tabular", tensor(shape=(rows, 8), data=data))
        rows, length = rng.randint(1, 3), rng.randint(1, 9)
        return predict("sequence", tensor(shape=(rows, length), data=f32(*([rng.uniform(-9, 9)] * (rows * length)))))

    calls = [call(number) for number in range(200)]
    async with world.standing():
        solo = [pb.PredictResponse.FromString((await world.call(PREDICT, each)).content) for each in calls]
        replies = await frames(world, [calls[start : start + 50] for start in range(0, 200, 50)])
    for number, alone in enumerate(solo):
        found, expected = predict_arrays(replies[number].response)["y"], predict_arrays(alone)["y"]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


async def test_shapes_and_types_are_never_mixed(world: World):
    """Row 46: calls of many shapes and types at once; none is refused, none gets another's."""

    def calls() -> Iterable[tuple[bytes, bytes]]:
        for number in range(50):
            x = np.array([[number, -number]])
            for model, dtype in (("identity", DType.FP32), ("int64", DType.INT64), ("fp16", DType.FP16)):
                data = x.astype(dtype.numpy).tobytes()
                yield predict(model, tensor(dtype=dtype, shape=(1, 2), data=data)), data
            length = 1 + number % 7
            data = f32(*[number] * length)
            yield predict("sequence", tensor(shape=(1, length), data=data)), f32(number * length)

    made = list(calls())
    random.Random(46).shuffle(made)
    async with world.standing():
        replies = await frames(world, [[call for call, _ in made]])
    assert [n for n, (_, expected) in enumerate(made) if replies[n].response.outputs[0].data != expected] == []


async def test_a_model_that_loses_rows(world: World):
    """Row 47: nobody knows whose the rows are, so every call of that run fails, and calls that lose none do not."""
    good = predict("miscount", tensor(shape=(2, 4), data=row(1) + row(2)))
    bad = predict("miscount", tensor(shape=(2, 4), data=row(1) + row(-2)))
    async with world.standing():
        answer = await world.call(PREDICT, bad)
        assert_refused(answer, INTERNAL, "BAD_MODEL_OUTPUT", "'y' the shape [1, 4]: expected 2 rows", field="y")
        assert (await world.call(PREDICT, good)).code is OK
        replies = await frames(world, [[good, bad, good]])
        assert replies[1].error.reason == "BAD_MODEL_OUTPUT"
        for number in (0, 2):  # in the same run or in another, as the batcher finds it worth
            if replies[number].error.reason != "BAD_MODEL_OUTPUT":
                assert replies[number].response.outputs[0].data == row(1) + row(2)
        assert (await world.call(PREDICT, good)).code is OK


async def test_a_model_that_doubles_rows(world: World):
    """Row 47: an output without the batch axis is never split: each call runs alone and gets all of it."""
    async with world.standing():
        replies = await frames(world, [[predict("doubled", tensor(shape=(1, 4), data=row(n))) for n in range(ROWS)]])
    for number in range(ROWS):
        assert replies[number].response.outputs[0].data == row(number) * 2


async def test_answers_are_never_permuted(world: World):
    """Row 48: 20 000 payloads that occur once, in frames, alone and in the other protocol's stream; each comes home."""

    def payload(number: int) -> bytes:
        return np.array([number, number * 0x9E3779B97F4A7C15 % (1 << 63)], "<i8").tobytes()

    def call(number: int) -> bytes:
        return predict("int64", tensor(dtype=DType.INT64, shape=(1, 2), data=payload(number)))

    def oip_call(number: int) -> bytes:
        return infer("int64", infer_input(datatype="INT64", shape=(1, 2)), raw=(payload(number),), id=str(number))

    async def alone(numbers: Iterable[int]) -> None:
        for number in numbers:
            answer = await world.call(PREDICT, call(number))
            assert answer.code is OK, answer
            assert pb.PredictResponse.FromString(answer.content).outputs[0].data == payload(number)

    async def streamed(numbers: range) -> None:
        stream = world.channel.stream_stream(INFER_STREAM)(timeout=60)
        for number in numbers:
            await stream.write(oip_call(number))
        await stream.done_writing()
        seen = 0
        async for message in stream:
            answer = oip.ModelStreamInferResponse.FromString(message).infer_response
            assert answer.raw_output_contents[0] == payload(int(answer.id))
            seen += 1
        world.count(OK, seen)
        assert seen == len(numbers)

    async with world.standing(), asyncio.TaskGroup() as tasks:
        framed = tasks.create_task(
            frames(world, [map(call, range(start, start + 250)) for start in range(0, 18_000, 250)])
        )
        for worker in range(20):
            tasks.create_task(alone(range(18_000 + worker, 19_800, 20)))
        tasks.create_task(streamed(range(19_800, 20_000)))
    replies = framed.result()
    assert [n for n in range(18_000) if replies[n].response.outputs[0].data != payload(n)] == []


async def test_a_model_that_fails_on_some_inputs_only(world: World):
    """Row 49: the others are answered before, between and after; nothing is held against the model."""
    async with world.standing():
        before = await world.scrape()
        for value in (1.0, 666.0, 2.0, 666.0, 666.0, 3.0):
            answer = await world.call(INFER, infer("poison", infer_input(shape=(1, 4)), raw=(row(value),)))
            assert answer.code is (INTERNAL if value == 666.0 else OK)
        after = await world.scrape()
    ends = {
        outcome: after.rise(before, "serinus_requests_total", model="poison", outcome=outcome)
        for outcome in ("answered", "failed", "invalid", "shed")
    }
    assert ends == {"answered": 3, "failed": 3, "invalid": 0, "shed": 0}
