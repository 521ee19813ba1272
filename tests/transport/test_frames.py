"""One PredictStream over a context made by hand: which call gets which reply, and when."""

import asyncio
import contextlib

import pytest

from serinus.core.errors import InvalidInput, ModelFailed, Overloaded
from serinus.telemetry.outcome import Refusal
from serinus.transport.frames import MOST_CALLS
from serinus_api.v1 import predict_pb2 as pb
from tests.support.fakes import settle
from tests.transport.fake_context import FakeContext
from tests.transport.framing import CANCELLED, Answers, Framing, answer, exchanged, flat, frame, replies, streaming

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1 << 20


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
