"""Callers that go away or run out of time, while they wait and while they run.

The model `loop` has one instance: while one call runs, the others wait. `trips` says how long it takes, 2 us each.
"""

import asyncio

import grpc
import grpc.aio
import numpy as np
import pytest

from serinus_api.v1 import predict_pb2 as pb
from tests.end_to_end.faults.loops import LONG, MODEL, loop_call, runs
from tests.end_to_end.faults.messages import INFER, PREDICT, ROW, infer, infer_input, predict, tensor
from tests.end_to_end.faults.raw_h2 import prefixed, raw_call
from tests.support.invariants import Answer, World, assert_refused

EXPIRED = grpc.StatusCode.DEADLINE_EXCEEDED


def value_of(answer: Answer) -> float:
    """What `loop_call` was given."""
    assert answer.code is grpc.StatusCode.OK, answer
    return float(np.frombuffer(pb.PredictResponse.FromString(answer.content).outputs[0].data, "<f4")[0])


async def blocked(world: World, trips: int = LONG) -> asyncio.Task[Answer]:
    """A call that runs now, and holds the only instance."""
    blocker = asyncio.create_task(world.call(PREDICT, loop_call(trips)))
    await world.until("serinus_bytes_in_flight", _SOME)
    await world.until("serinus_queue_calls", 0, **MODEL)
    return blocker


_SOME = len(loop_call(LONG))


async def test_a_call_that_is_cancelled_while_it_waits_never_runs(world: World):
    """Row 40: its place is free while the call before it still runs, and its row is in no run."""
    async with world.standing():
        before = await world.scrape()
        blocker = await blocked(world)
        waiting = world.channel.unary_unary(PREDICT)(loop_call(LONG), timeout=30)
        await world.until("serinus_queue_calls", 1, **MODEL)
        waiting.cancel()
        world.count(grpc.StatusCode.CANCELLED)
        await world.until("serinus_queue_calls", 0, **MODEL)
        assert not blocker.done(), "the place was free before the run was over"
        assert value_of(await blocker) == 1.0
        after = await world.scrape()
    assert runs(before, after) == (1, 1)
    assert after.total("serinus_requests_total", outcome="cancelled", **MODEL) == 1 + before.total(
        "serinus_requests_total", outcome="cancelled", **MODEL
    )


async def test_a_call_that_is_cancelled_in_a_run_leaves_the_others_alone(world: World):
    """Row 41: the run goes on, its other call is answered, and one cancellation is counted."""
    async with world.standing():
        before = await world.scrape()
        blocker = await blocked(world, LONG // 2)
        leaver = world.channel.unary_unary(PREDICT)(loop_call(LONG, 2.0), timeout=30)
        stayer = asyncio.create_task(world.call(PREDICT, loop_call(LONG, 3.0)))
        await world.until("serinus_queue_calls", 2, **MODEL)
        await blocker
        await world.until("serinus_queue_calls", 0, **MODEL)
        leaver.cancel()
        world.count(grpc.StatusCode.CANCELLED)
        await world.until(
            "serinus_requests_total",
            1 + before.total("serinus_requests_total", outcome="cancelled", **MODEL),
            outcome="cancelled",
            **MODEL,
        )
        assert not stayer.done(), "the run was under way"
        assert value_of(await stayer) == 3.0
        after = await world.scrape()
    assert runs(before, after)[1] == 3


@pytest.mark.parametrize("means", ["grpc deadline", "timeout_us"])
async def test_a_call_whose_time_is_over_while_it_waits_never_runs(world: World, means: str):
    """Row 42: it ends on time although the run before it goes on, and its row is in no run."""
    async with world.standing():
        before = await world.scrape()
        # Short runs first: a server that foresaw the wait would refuse the call, as it should.
        for _ in range(20):
            assert value_of(await world.call(PREDICT, loop_call(1))) == 1.0
        blocker = await blocked(world)
        if means == "timeout_us":
            answer = await world.call(PREDICT, loop_call(1, timeout_us=100_000))
        else:
            answer = await world.call(PREDICT, loop_call(1), timeout_s=0.1)
        assert not blocker.done(), "the call ended while another ran"
        await world.until("serinus_requests_total", 21 + before.total("serinus_requests_total", **MODEL), **MODEL)
        await blocker
        after = await world.scrape()
    # Over the wire the caller's clock may be the first to notice: the server then sees a call that was cancelled.
    over = {"expired"} if means == "timeout_us" else {"expired", "cancelled"}
    assert sum(after.rise(before, "serinus_requests_total", outcome=outcome, **MODEL) for outcome in over) == 1
    if means == "timeout_us":
        assert_refused(answer, EXPIRED, "DEADLINE_PASSED", "no answer within 0.1")
    assert answer.code is EXPIRED
    assert runs(before, after)[1] == 21


@pytest.mark.parametrize("timeout_s", [-1.0, -86_400.0])
async def test_a_deadline_that_is_over(world: World, timeout_s: float):
    """Row 43: past deadlines end as such, whoever notices first."""
    async with world.standing():
        for method, message in (
            (INFER, infer("tabular", infer_input(), raw=(ROW,))),
            (PREDICT, predict("tabular", tensor(data=ROW))),
        ):
            assert (await world.call(method, message, timeout_s=timeout_s)).code is EXPIRED


async def test_a_microsecond_of_the_request_s_own(world: World):
    """Row 43: the same for a time that stands in the message, by our own clock."""
    async with world.standing():
        answers = [
            await world.call(PREDICT, predict("sequence", tensor(shape=(1, 8), data=ROW), timeout_us=1)),
            await world.call(
                INFER,
                infer("sequence", infer_input(), raw=(ROW,), parameters={"timeout": {"int64_param": 1}}),
            ),
        ]
    for answer in answers:
        assert_refused(answer, EXPIRED, "DEADLINE_PASSED")


@pytest.mark.parametrize("timeout_s", [None, 100 * 365.25 * 86_400])
async def test_a_deadline_that_never_comes(world: World, timeout_s: float | None):
    """Row 43: without a deadline, or with one in a century, the server's own budget holds, and the call is answered."""
    async with world.standing():
        for message in (
            infer("tabular", infer_input(), raw=(ROW,)),
            infer("tabular", infer_input(), raw=(ROW,), parameters={"timeout": {"uint64_param": (1 << 64) - 1}}),
        ):
            assert (await world.call(INFER, message, timeout_s=timeout_s)).code is grpc.StatusCode.OK
        message = predict("tabular", tensor(data=ROW), timeout_us=(1 << 64) - 1, priority=(1 << 32) - 1)
        assert (await world.call(PREDICT, message, timeout_s=timeout_s)).code is grpc.StatusCode.OK


@pytest.mark.parametrize("text", ["1n", "1u", "99999999H"])
async def test_a_deadline_that_only_a_wire_can_say(world: World, text: str):
    """Row 43: grpc core counts in milliseconds, so that a call may be over before its nanosecond is."""
    async with world.standing():
        body = prefixed(predict("tabular", tensor(data=ROW)))
        end = await raw_call(world.server.grpc_port, PREDICT, body, headers=[("grpc-timeout", text)])
        if text == "99999999H":
            assert end.code is grpc.StatusCode.OK
            world.count(grpc.StatusCode.OK)
        else:
            assert end.code in {EXPIRED, grpc.StatusCode.OK, None}
            world.count(EXPIRED)


async def test_cancels_by_the_hundred(world: World):
    """Rows 40, 41: whatever moment each comes at, every call ends once and nothing stays behind."""
    async with world.standing():
        calls = [world.channel.unary_unary(PREDICT)(loop_call(200, float(n)), timeout=30) for n in range(300)]
        ends: dict[int, grpc.StatusCode] = {}
        for number, call in enumerate(calls):
            if number % 3 == 0:
                call.cancel()
            elif number % 3 == 1:
                await asyncio.wait((asyncio.ensure_future(_code(call)),), timeout=0.001)
                call.cancel()
        for number, call in enumerate(calls):
            ends[number] = await _code(call)
            world.count(ends[number])
        for number in range(2, 300, 3):
            assert ends[number] is grpc.StatusCode.OK
            answer = pb.PredictResponse.FromString(await calls[number])
            assert np.frombuffer(answer.outputs[0].data, "<f4").tolist() == [float(number)] * 128


async def _code(call: grpc.aio.UnaryUnaryCall) -> grpc.StatusCode:
    code = await call.code()
    assert isinstance(code, grpc.StatusCode)
    return code
