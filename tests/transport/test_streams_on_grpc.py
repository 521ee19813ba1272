"""Streams on a real server, whose clients vanish, stay silent or send what is too long."""

import asyncio
import contextlib
import dataclasses
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from serinus.core.errors import InvalidInput
from serinus.telemetry.logs import configure_logs
from serinus.transport.guard import Context, welcome
from serinus.transport.service import service
from tests.transport.framing import Answers, Framing, answer, flat, frame

MIB = 1 << 20
METHOD = "/test.Service/Stream"
# No subchannels shared: what happens to the connection of one test must not happen to another's.
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]


@dataclasses.dataclass
class Stream:
    """A handler on a real server, and its client's call.

    Attributes:
        channel: The client's.
        call: The client's stream.
        ended: Set when the handler is over.
    """

    channel: grpc.aio.Channel
    call: Any
    ended: asyncio.Event

    async def until_ended(self) -> None:
        async with asyncio.timeout(20):
            await self.ended.wait()


@contextlib.asynccontextmanager
async def stream(
    method: Callable[[Context], Awaitable[None]], *, timeout_s: float | None = None
) -> AsyncIterator[Stream]:
    """A stream to `method`; afterwards no task is left, and the log has no error."""
    ended = asyncio.Event()
    before = asyncio.all_tasks()
    loop = asyncio.get_running_loop()
    said: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: said.append(context))
    lines = io.StringIO()
    logs = configure_logs(lines, "info", json=True)

    async def handler(context: Context) -> None:
        try:
            await method(context)
        finally:
            ended.set()

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service("test.Service", unary={}, streams={"Stream": handler}, arrive=welcome),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
            yield Stream(channel, channel.stream_stream(METHOD)(timeout=timeout_s), ended)
        async with asyncio.timeout(20):
            await ended.wait()
            await server.stop(0)
            while left := asyncio.all_tasks() - before:
                await asyncio.wait(left)
    finally:
        await server.stop(0)
        loop.set_exception_handler(None)
        logs.close()
    events = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [event for event in events if event["level"] == "error"] == []
    assert said == []


async def taken(call: Any, messages: list[bytes] | None = None) -> list[bytes]:
    """All messages until the end of the stream; those before an error are in `messages`."""
    messages = [] if messages is None else messages
    while (message := await call.read()) is not grpc.aio.EOF:
        messages.append(message)
    return messages


async def test_frames_are_answered():
    """To the client that says that it is done."""
    async with stream(Framing(Answers()).serve) as found:
        await found.call.write(frame(1, 2))
        await found.call.done_writing()
        assert sorted(reply.id for reply in flat(await taken(found.call))) == [1, 2]
        assert await found.call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("size_bytes", [0, 3 * MIB], ids=["while-reading", "while-writing"])
@pytest.mark.parametrize("way", ["cancel", "close"])
async def test_a_client_that_vanishes_leaves_nothing_behind(way: str, size_bytes: int):
    """While the server waits for its messages, or for it to take a message; calls inside are cancelled."""
    predictor = Answers(opened=False, size_bytes=size_bytes)
    async with stream(Framing(predictor).serve) as found:
        await found.call.write(frame(*range(1, 9)))
        await predictor.until_inside(8)
        predictor.let_go(1, 2, 3, 4)
        await found.call.read()
        if way == "cancel":
            found.call.cancel()
        else:
            await found.channel.close()
        await found.until_ended()
    assert [predictor.ended[call_id] for call_id in range(1, 9)] == ["answered"] * 4 + ["cancelled"] * 4


async def test_a_stream_whose_deadline_passes_leaves_nothing_behind():
    """While the server waits for the client to take a message."""
    predictor = Answers(opened=False, size_bytes=3 * MIB)
    async with stream(Framing(predictor).serve, timeout_s=2.0) as found:
        await found.call.write(frame(*range(1, 5)))
        await predictor.until_inside(4)
        predictor.let_go(1, 2, 3)
        await found.until_ended()
    assert predictor.ended[4] == "cancelled"


async def test_a_message_that_is_too_long_ends_the_stream_and_its_calls():
    """gRPC refuses it before we see it."""
    predictor = Answers(opened=False)
    async with stream(Framing(predictor).serve) as found:
        await found.call.write(frame(1))
        await predictor.until_inside(1)
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await found.call.write(bytes(5 * MIB))
        await found.until_ended()
        with contextlib.suppress(grpc.aio.AioRpcError):
            await taken(found.call)
        assert await found.call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert predictor.ended == {1: "cancelled"}


async def test_a_message_that_is_no_frame_is_refused_after_the_replies_to_a_slow_reader():
    """Everything that was answered arrives before the status does."""
    predictor = Answers(size_bytes=2 * MIB)
    async with stream(Framing(predictor).serve) as found:
        await found.call.write(frame(1, 2, 3))
        await found.call.write(b"\xff")
        await found.call.done_writing()
        messages: list[bytes] = []
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await taken(found.call, messages)
        assert flat(messages) == [answer(call_id, 2 * MIB) for call_id in (1, 2, 3)]
    assert (refusal.value.code(), refusal.value.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "MALFORMED_REQUEST: cannot parse the message as a PredictFrame",
    )


async def test_a_drain_ends_a_stream_well_after_its_last_reply():
    """The client, which would have gone on, sees the end of the stream."""
    predictor = Answers(opened=False)
    framing = Framing(predictor)
    async with stream(framing.serve) as found:
        await found.call.write(frame(1, 2))
        await predictor.until_inside(2)
        framing.drain.begin()
        predictor.open()
        assert flat(await taken(found.call)) == [answer(1), answer(2)]
        assert await found.call.code() is grpc.StatusCode.OK


async def test_a_handler_that_fails_while_its_read_is_in_flight_still_ends_the_call():
    """The read is cancelled under it; the client gets the status."""

    async def method(context: Context) -> None:
        reading = asyncio.ensure_future(context.read())
        await asyncio.wait((reading,), timeout=0.01)
        reading.cancel()
        await asyncio.wait((reading,))
        raise InvalidInput("enough", reason="ENOUGH")

    async with stream(method) as found:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await taken(found.call)
    assert (refusal.value.code(), refusal.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "ENOUGH: enough")
