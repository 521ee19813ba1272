"""One PredictStream over a context made by hand: how it ends, and when it is not read."""

import asyncio
from collections.abc import Callable

import grpc.aio
import pytest

from serinus.core.errors import Overloaded
from serinus.transport.frames import MOST_CALLS, MOST_WAITING_BYTES
from serinus_api.v1 import predict_pb2 as pb
from tests.support.fakes import settle
from tests.transport.fake_context import FakeContext
from tests.transport.framing import Answers, Framing, answer, flat, frame, streaming

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1 << 20


async def test_a_stream_says_at_once_which_worker_has_it():
    """Before any call: the client decides by it whether it needs further streams."""
    context = FakeContext()
    async with streaming(Framing(Answers(), worker="2/4"), context):
        await context.reading.wait()
        assert context.introduced == (("x-serinus-worker", "2/4"),)
        assert context.written == []


async def test_a_stream_whose_calls_are_refused_says_how_many_may_be_open():
    """With the replies that it has to write anyway, once there is something new to say."""
    predictor, context = Answers(), FakeContext()
    predictor.failing = {call_id: Overloaded("full", retry_after_s=0.1) for call_id in range(400)}
    async with streaming(Framing(predictor), context):
        context.send(frame(*range(200)))
        await context.until_written(1)
        await asyncio.sleep(0.02)  # as long as a look takes
        context.send(frame(*range(200, 400)))
    assert [pb.ReplyFrame.FromString(message).credits for message in context.written] == [0, 150]


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
    async with asyncio.timeout(60):
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
