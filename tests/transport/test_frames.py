"""One PredictStream over a context made by hand."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio
import pytest

from serinus.core.errors import InvalidInput, ModelFailed, Overloaded
from serinus.telemetry.outcome import Refusal
from serinus.transport.frames import MOST_CALLS, MOST_WAITING_BYTES
from serinus_api.v1 import predict_pb2 as pb
from tests.support.fakes import settle
from tests.transport.fake_context import FakeContext
from tests.transport.framing import CANCELLED, Answers, Framing, answer, flat, frame, replies

MIB = 1 << 20


@pytest.fixture(autouse=True)
async def _nothing_is_left_behind() -> AsyncIterator[None]:
    """No task outlives its stream, and nothing is said about an error that nobody saw."""
    loop = asyncio.get_running_loop()
    said: list[dict[str, Any]] = []
    before = asyncio.all_tasks()
    loop.set_exception_handler(lambda _loop, context: said.append(context))
    yield
    await settle()
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    gc.collect()
    await settle()
    loop.set_exception_handler(None)
    assert (left, said) == (set(), [])


@contextlib.asynccontextmanager
async def streaming(framing: Framing, context: FakeContext) -> AsyncIterator["asyncio.Task[None]"]:
    """A stream that is served while the block runs; afterwards the client is done, and the stream must end."""
    task = asyncio.create_task(framing.serve(context))
    try:
        yield task
        context.close()
        async with asyncio.timeout(10):
            await asyncio.wait((task,))
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


async def exchanged(predictor: Answers, *messages: bytes) -> list[pb.Reply]:
    """All replies to messages that a client sent at once."""
    context = FakeContext()
    async with streaming(Framing(predictor), context):
        context.send(*messages)
    return flat(context.written)


async def test_the_calls_of_a_frame_are_answered_in_one_message():
    """They were ready together."""
    context = FakeContext()
    async with streaming(Framing(Answers()), context):
        context.send(frame(3, 1, 2))
    assert replies(context.written) == [[answer(3), answer(1), answer(2)]]


async def test_an_empty_stream_ends():
    """Nothing came, nothing is written."""
    assert await exchanged(Answers()) == []


async def test_an_empty_frame_is_no_mistake():
    """It carries nothing."""
    assert await exchanged(Answers(), frame(), frame(1)) == [answer(1)]


@pytest.mark.parametrize("call_id", [0, 1, 127, 128, 2**32, 2**64 - 1])
async def test_an_id_may_be_any_number(call_id: int):
    """Sixty-four bits of it."""
    assert await exchanged(Answers(), frame(call_id)) == [answer(call_id)]


async def test_replies_go_out_in_the_order_of_completion():
    """A slow call holds nobody back, whichever frame the others came in."""
    predictor, context = Answers(opened=False), FakeContext()
    async with streaming(Framing(predictor), context):
        context.send(frame(1, 2), frame(3))
        await predictor.until_inside(3)
        predictor.let_go(3)
        await context.until_written(1)
        predictor.let_go(2)
        await context.until_written(2)
        predictor.let_go(1)
    assert replies(context.written) == [[answer(3)], [answer(2)], [answer(1)]]


async def test_what_finishes_while_a_write_is_in_flight_goes_out_together():
    """A message costs the same whatever it carries."""
    predictor, context = Answers(), FakeContext()
    async with streaming(Framing(predictor), context):
        context.window.clear()
        context.send(frame(1))
        await settle()
        context.send(frame(2), frame(3, 4))
        await settle()
        context.window.set()
    assert replies(context.written) == [[answer(1)], [answer(2), answer(3), answer(4)]]


async def test_long_replies_are_split_over_messages():
    """About a mebibyte each; a longer reply travels alone."""
    predictor, context = Answers(size_bytes=MIB * 2 // 5), FakeContext()
    async with streaming(Framing(predictor), context):
        context.send(frame(1, 2, 3, 4, 5))
    expected = [answer(call_id, predictor.size_bytes) for call_id in range(1, 6)]
    assert replies(context.written) == [expected[:2], expected[2:4], expected[4:]]


async def test_a_reply_longer_than_a_message_travels_alone():
    """It is not held back, and holds nobody else's reply in its message."""
    predictor, context = Answers(size_bytes=2 * MIB), FakeContext()
    async with streaming(Framing(predictor), context):
        context.send(frame(1, 2))
    assert replies(context.written) == [[answer(1, 2 * MIB)], [answer(2, 2 * MIB)]]


async def test_each_call_has_its_own_error():
    """With the status that a unary call would have had; its frame's other calls are answered."""
    predictor = Answers()
    predictor.failing = {
        2: InvalidInput("expected FP32", reason="WRONG_DTYPE", field="x"),
        3: Overloaded("the queue is full", retry_after_s=0.25),
        4: ModelFailed("the run failed"),
    }
    assert await exchanged(predictor, frame(1, 2, 3, 4, 5)) == [
        answer(1),
        pb.Reply(id=2, error=pb.CallError(code=3, message="WRONG_DTYPE: expected FP32", reason="WRONG_DTYPE")),
        pb.Reply(
            id=3,
            error=pb.CallError(
                code=8, message="OVERLOADED: the queue is full", reason="OVERLOADED", retry_after_ms=250
            ),
        ),
        pb.Reply(id=4, error=pb.CallError(code=13, message="MODEL_FAILED: the run failed", reason="MODEL_FAILED")),
        answer(5),
    ]


@pytest.mark.parametrize("error", [ValueError("/secret/path"), asyncio.CancelledError("not the caller's")])
async def test_an_unforeseen_error_of_a_call_is_its_own(error: BaseException):
    """Its text stays in the log; a cancellation of our own making is no different."""
    predictor = Answers()
    predictor.failing = {1: error}
    failed, answered = await exchanged(predictor, frame(1, 2))
    assert answered == answer(2)
    assert (failed.id, failed.error.code, failed.error.reason) == (1, 13, "INTERNAL")
    assert failed.error.message.startswith("INTERNAL: unexpected error, the server's log names it ")
    assert "secret" not in failed.error.message


async def test_a_request_that_cannot_be_meant_is_refused_alone():
    """It never reaches a model, and is counted."""
    predictor, context = Answers(), FakeContext()
    framing = Framing(predictor)
    wrong = pb.PredictRequest(inputs=[pb.Tensor(name="x", dtype=pb.DATA_TYPE_FP32, shape=[1])])
    async with streaming(framing, context):
        context.send(frame(1) + frame(2, request=wrong) + frame(3))
    error = pb.CallError(
        code=3, message="WRONG_SIZE: input 'x': shape [1] of FP32: expected 4 bytes, got 0", reason="WRONG_SIZE"
    )
    assert flat(context.written) == [pb.Reply(id=2, error=error), answer(1), answer(3)]
    assert predictor.ended == {1: "answered", 3: "answered"}
    assert framing.metrics.refusals == {Refusal.of("WRONG_SIZE").value: 1}


async def test_a_call_carries_its_own_deadline_and_its_share_of_the_message():
    """Its time-out in microseconds; bytes are shared equally by the calls of the frame."""
    predictor, context = Answers(), FakeContext()
    message = pb.PredictFrame(
        calls=[
            pb.Call(id=id_, request=pb.PredictRequest(request_id=str(id_), timeout_us=id_ * 1_000_000))
            for id_ in (1, 2)
        ]
    ).SerializeToString()
    async with streaming(Framing(predictor), context):
        context.send(message)
    first, second = predictor.requests[1], predictor.requests[2]
    assert first.arrived == second.arrived
    assert first.deadline - first.arrived == pytest.approx(1.0)
    assert second.deadline - second.arrived == pytest.approx(2.0)
    assert (first.size_bytes, second.size_bytes) == (len(message) // 2, len(message) // 2)


async def test_a_call_that_is_cancelled_while_it_runs_ends_with_one_reply():
    """Its model hears of it, its frame's other calls do not."""
    predictor, context = Answers(opened=False), FakeContext()
    async with streaming(Framing(predictor), context):
        context.send(frame(1, 2))
        await predictor.until_inside(2)
        context.send(frame(cancel=[1]))
        await context.until_written(1)
        predictor.let_go(2)
    assert flat(context.written) == [pb.Reply(id=1, error=CANCELLED), answer(2)]
    assert predictor.ended == {1: "cancelled", 2: "answered"}


async def test_a_call_that_is_cancelled_before_it_took_a_step_ends_with_one_reply():
    """Both messages are there before its task runs for the first time."""
    predictor, context = Answers(), FakeContext()
    context.send(frame(1, 2), frame(cancel=[1]))
    async with streaming(Framing(predictor), context):
        pass
    ends = flat(context.written)
    assert sorted(ends, key=lambda reply: reply.id) == [pb.Reply(id=1, error=CANCELLED), answer(2)]
    assert predictor.ended == {2: "answered"}


async def test_cancelling_what_is_over_or_never_was_changes_nothing():
    """Answer and cancellation pass each other on the wire all the time."""
    context = FakeContext()
    async with streaming(Framing(Answers()), context):
        context.send(frame(1))
        await context.until_written(1)
        context.send(frame(cancel=[1, 1, 99]), frame(1))
    assert replies(context.written) == [[answer(1)], [answer(1)]]


async def test_a_cancelled_call_that_answers_all_the_same_is_answered_once():
    """Its model may have been too far to stop."""

    class Stubborn(Answers):
        async def predict(self, request, /):
            with contextlib.suppress(asyncio.CancelledError):
                await super().predict(request)
            self.open()
            return await super().predict(request)

    predictor, context = Stubborn(opened=False), FakeContext()
    async with streaming(Framing(predictor), context):
        context.send(frame(1))
        await predictor.until_inside(1)
        context.send(frame(cancel=[1]))
    assert flat(context.written) == [answer(1)]


async def test_an_id_that_an_open_call_has_is_refused():
    """The open call is answered; once it is, the id is free again."""
    predictor, context = Answers(opened=False), FakeContext()
    async with streaming(Framing(predictor), context):
        context.send(frame(1, 1))
        await predictor.until_inside(1)
        predictor.let_go(1)
        await context.until_written(2)
        context.send(frame(1))
    refusal = pb.CallError(
        code=3,
        message="DUPLICATE_CALL_ID: call 1: expected an id that no open call has",
        reason="DUPLICATE_CALL_ID",
    )
    assert flat(context.written) == [pb.Reply(id=1, error=refusal), answer(1), answer(1)]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\xff", "MALFORMED_REQUEST"),
        (frame(cancel=range(2 * MOST_CALLS + 1)), "TOO_MANY_ENTRIES"),
    ],
)
async def test_a_message_that_is_no_frame_ends_the_stream_after_the_calls_before_it(message: bytes, reason: str):
    """They are answered first, and nothing after it is read; the refusal is counted."""
    predictor, context = Answers(opened=False), FakeContext()
    framing = Framing(predictor)
    task = asyncio.create_task(framing.serve(context))
    context.send(frame(1, 2), message, frame(3))
    await predictor.until_inside(2)
    await settle()
    assert not task.done()
    predictor.open()
    with pytest.raises(InvalidInput) as refusal:
        await task
    assert refusal.value.reason == reason
    assert flat(context.written) == [answer(1), answer(2)]
    assert framing.metrics.refusals == {Refusal.of(reason).value: 1}


async def test_calls_that_are_open_when_the_client_is_done_are_answered():
    """The end of its messages is not the end of its interest."""
    predictor, context = Answers(opened=False), FakeContext()
    async with streaming(Framing(predictor), context) as task:
        context.send(frame(1, 2))
        context.close()
        await predictor.until_inside(2)
        await settle()
        assert not task.done()
        predictor.open()
    assert flat(context.written) == [answer(1), answer(2)]


async def test_a_drain_answers_what_is_open_and_ends_the_stream():
    """Although the client would go on."""
    predictor, context = Answers(opened=False), FakeContext()
    framing = Framing(predictor)
    task = asyncio.create_task(framing.serve(context))
    context.send(frame(1, 2))
    await predictor.until_inside(2)
    await context.reading.wait()
    framing.drain.begin()
    await settle()
    assert not task.done()
    assert not context.reading.is_set()
    predictor.open()
    await task
    assert flat(context.written) == [answer(1), answer(2)]


async def test_a_drain_that_began_before_ends_a_stream_at_once():
    """There is nothing to answer."""
    framing = Framing(Answers())
    framing.drain.begin()
    await framing.serve(FakeContext())


async def test_a_full_stream_is_not_read_until_calls_end():
    """What it sends meanwhile waits in the transport, and with it the client."""
    predictor, context = Answers(opened=False), FakeContext()
    async with streaming(Framing(predictor), context):
        context.send(frame(*range(MOST_CALLS // 2)), frame(*range(MOST_CALLS // 2, MOST_CALLS)), frame(MOST_CALLS))
        await predictor.until_inside(MOST_CALLS)
        await settle()
        assert (context.reads, context.reading.is_set()) == (2, False)
        predictor.let_go(7)
        await predictor.until_inside(MOST_CALLS + 1)
        assert context.reads == 3
        predictor.open()
    assert {reply.id for reply in flat(context.written)} == set(range(MOST_CALLS + 1))


async def test_a_full_stream_whose_client_is_done_still_ends():
    """The end is read once there is room."""
    predictor, context = Answers(opened=False), FakeContext()
    async with streaming(Framing(predictor), context):
        context.send(frame(*range(2000)), frame(*range(2000, 4000)), frame(*range(4000, 6000)))
        context.close()
        await predictor.until_inside(6000)
        predictor.open()
    assert len(flat(context.written)) == 6000


async def test_a_client_that_takes_no_replies_is_not_read():
    """Its calls are answered, and what waits for it has a bound; when it reads, the stream goes on."""
    predictor, context = Answers(size_bytes=MIB), FakeContext()
    frames = 2 * MOST_WAITING_BYTES // MIB
    async with streaming(Framing(predictor), context):
        context.window.clear()
        for call_id in range(frames):
            context.send(frame(call_id))
            await settle()
        assert not context.reading.is_set()
        # One reply is in flight, and one frame was waited for already when the last reply made it too many.
        assert context.reads == len(predictor.ended) == MOST_WAITING_BYTES // MIB + 2
        context.window.set()
    assert flat(context.written) == [answer(call_id, MIB) for call_id in range(frames)]


async def ended_by(
    act: Callable[[FakeContext, "asyncio.Task[None]"], None], predictor: Answers
) -> "asyncio.Task[None]":
    """A stream with two calls inside and a reply in flight, after `act`."""
    context = FakeContext()
    task = asyncio.create_task(Framing(predictor).serve(context))
    context.window.clear()
    context.send(frame(1, 2, 3))
    await predictor.until_inside(3)
    predictor.let_go(3)
    await settle()
    act(context, task)
    async with asyncio.timeout(10):
        await asyncio.wait((task,))
    await settle()
    return task


async def test_a_stream_that_is_cancelled_cancels_its_calls():
    """The client is gone: reading, writing and all calls end, and the cancellation leaves the stream."""
    predictor = Answers(opened=False)
    task = await ended_by(lambda _context, task: task.cancel(), predictor)
    assert task.cancelled()
    assert predictor.ended == {1: "cancelled", 2: "cancelled", 3: "answered"}


async def test_a_write_that_finds_the_client_gone_cancels_its_calls_and_waits_to_be_cancelled():
    """grpc.aio cancels the handler for it, a moment later; nobody is told of an error."""
    predictor, context = Answers(opened=False), FakeContext()
    task = asyncio.create_task(Framing(predictor).serve(context))
    context.send(frame(1, 2, 3))
    await predictor.until_inside(3)
    context.broken = grpc.aio.InternalError("the batch failed")
    predictor.let_go(3)
    await settle()
    assert predictor.ended == {1: "cancelled", 2: "cancelled", 3: "answered"}
    assert not task.done()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()


async def test_a_write_that_fails_for_another_reason_ends_the_stream_with_it():
    """Then it is ours to explain; no call goes on for nobody."""
    predictor = Answers(opened=False)

    def act(context: FakeContext, _task: "asyncio.Task[None]") -> None:
        context.broken = ValueError("no bytes")
        context.window.set()

    task = await ended_by(act, predictor)
    error = task.exception()
    assert isinstance(error, ExceptionGroup)
    assert [repr(inner) for inner in error.exceptions] == ["ValueError('no bytes')"]
    assert predictor.ended == {1: "cancelled", 2: "cancelled", 3: "answered"}


async def test_a_read_that_fails_ends_the_stream_with_it():
    """The same for the other direction."""

    class Deaf(FakeContext):
        async def read(self) -> object:
            if self.reads:
                raise ValueError("no message")
            return await super().read()

    predictor, context = Answers(opened=False), Deaf()
    context.send(frame(1))
    with pytest.raises(ExceptionGroup) as failure:
        await Framing(predictor).serve(context)
    assert [repr(inner) for inner in failure.value.exceptions] == ["ValueError('no message')"]
    assert set(predictor.ended.values()) <= {"cancelled"}
