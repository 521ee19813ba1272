"""What leaves a handler, whatever happens inside."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from serinus.core.errors import Draining, InvalidInput, ModelFailed, Overloaded
from serinus.telemetry.logs import configure_logs
from serinus.transport.guard import guarded, guarded_stream, introduce, write
from serinus.transport.status import internal_error, status_of
from tests.support.fakes import settle
from tests.transport.fake_context import FakeContext

Body = Callable[[], Awaitable[Any]]
Handler = Callable[[FakeContext], Awaitable[Any]]


def unary(body: Body) -> Handler:
    async def method(_message: bytes, _context: Any) -> bytes:
        return await body()

    handler = guarded(method, "test.Service/Unary")
    return lambda context: handler(b"", context)


def stream(body: Body) -> Handler:
    async def method(_context: Any) -> None:
        await body()

    guarded = guarded_stream(method, "test.Service/Stream")
    return lambda context: guarded(None, context)


both = pytest.mark.parametrize("guarded", [unary, stream])


class Lines(io.StringIO):
    """A log that was written."""

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Lines]:
    lines = Lines()
    logs = configure_logs(lines, json=True)
    yield lines
    logs.close()


def raising(error: BaseException) -> Body:
    async def body() -> None:
        raise error

    return body


async def aborted(handler: Handler) -> tuple[Any, ...]:
    """How the handler ended its call."""
    context = FakeContext()
    assert await handler(context) == b""  # which grpc.aio does not send beside a status
    (end,) = context.aborted
    return end


async def test_an_answer_is_passed_on():
    """A unary handler gives back what its method gave."""

    async def body() -> bytes:
        return b"answer"

    context = FakeContext()
    assert await unary(body)(context) == b"answer"
    assert context.aborted == []


async def test_a_stream_that_ends_well_is_not_aborted():
    """The end of the method is the end of the stream."""

    async def body() -> None:
        return

    context = FakeContext()
    assert await stream(body)(context) is None
    assert context.aborted == []


@both
@pytest.mark.parametrize(
    "error", [InvalidInput("expected 2, got 3", field="x"), Overloaded("the queue is full", retry_after_s=0.5)]
)
async def test_an_error_of_ours_becomes_its_status(guarded, error, log: Lines):
    """Code, message and trailers are those of the table; callers' mistakes are not worth a line in the log."""
    status = status_of(error)
    assert await aborted(guarded(raising(error))) == (status.code, status.message, status.trailers())
    assert log.events == []


@both
async def test_the_cause_of_an_error_of_ours_stays_in_the_log(guarded, log: Lines):
    """The caller reads the sentence, the operator what was behind it."""
    error = ModelFailed("the run failed")
    error.__cause__ = RuntimeError("/secret/path")
    status = status_of(error)
    assert await aborted(guarded(raising(error))) == (status.code, status.message, status.trailers())
    (event,) = log.events
    assert (event["event"], event["reason"]) == ("call failed", "MODEL_FAILED")
    assert event["cause"] == "RuntimeError('/secret/path')"


@both
@pytest.mark.parametrize(
    "error",
    [
        ValueError("/secret/path"),
        KeyError("s3cr3t"),
        AssertionError("this is a bug"),
        TimeoutError(),
        ExceptionGroup("unhandled errors", [ValueError("/secret/path")]),
    ],
)
async def test_an_unforeseen_error_says_an_id_and_nothing_of_itself(guarded, error, log: Lines):
    """The log has the same id and the traceback."""
    end = await aborted(guarded(raising(error)))
    (event,) = log.events
    expected = internal_error(event["error_id"])
    assert end == (grpc.StatusCode.INTERNAL, expected.message, expected.trailers())
    assert event["event"] == "unexpected error"
    assert event["level"] == "error"
    assert type(error).__name__ in event["exception"]


@both
@pytest.mark.parametrize(
    "error", [grpc.aio.BaseError("stopped"), ExceptionGroup("tasks", [grpc.aio.BaseError("stopped")])]
)
async def test_a_server_that_ended_under_a_handler_is_no_error_of_ours(guarded, error, log: Lines):
    """Alone, or out of the tasks of a stream."""
    status = status_of(Draining("the server has gone away"))
    assert await aborted(guarded(raising(error))) == (status.code, status.message, status.trailers())
    assert log.events == []


@both
async def test_a_server_without_threads_is_to_be_asked_later(guarded, log: Lines):
    """That is no bug: a sentence instead of an id, and a line instead of a traceback."""
    end = await aborted(guarded(raising(RuntimeError("can't start new thread"))))
    sentence = "the system gives the server no further thread: expected the call later"
    status = status_of(Overloaded(sentence, retry_after_s=1.0, reason="OUT_OF_THREADS"))
    assert end == (grpc.StatusCode.RESOURCE_EXHAUSTED, status.message, status.trailers())
    assert [(event["event"], event["level"]) for event in log.events] == [("call refused", "warning")]


@both
async def test_two_unforeseen_errors_have_two_ids(guarded, log: Lines):
    """Else nobody could say which was whose."""
    assert await aborted(guarded(raising(ValueError()))) != await aborted(guarded(raising(ValueError())))
    first, second = log.events
    assert first["error_id"] != second["error_id"]


@both
async def test_a_cancellation_of_our_own_making_becomes_a_status(guarded, log: Lines):
    """grpc.aio would never end a call whose handler raised it."""

    async def body() -> None:
        part = asyncio.get_running_loop().create_future()
        part.cancel()
        await part

    code, message, _ = await aborted(guarded(body))
    (event,) = log.events
    assert (code, message) == (grpc.StatusCode.INTERNAL, internal_error(event["error_id"]).message)


@both
async def test_a_call_that_the_client_cancelled_ends_cancelled(guarded, log: Lines):
    """A handler that returned or aborted then would leak in grpc.aio."""
    waiting = asyncio.Event()

    async def body() -> None:
        waiting.set()
        await asyncio.Event().wait()

    context = FakeContext()
    task = asyncio.ensure_future(guarded(body)(context))
    await waiting.wait()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert context.aborted == []
    assert log.events == []


class Slow(FakeContext):
    """What is sent is under way until `sent` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = asyncio.Event()

    async def write(self, message: bytes) -> None:
        await self.sent.wait()
        await super().write(message)

    async def send_initial_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        await self.sent.wait()
        await super().send_initial_metadata(metadata)


@pytest.mark.parametrize("sending", [lambda to: write(to, b"x"), lambda to: introduce(to, ("a", "b"))])
async def test_who_is_cancelled_while_something_is_sent_waits_until_it_is(sending: Callable[[Any], Any]):
    """The status would be refused by grpc core until then, and its caller wait for ever."""
    context = Slow()
    task = asyncio.create_task(sending(context))
    await settle()
    task.cancel()
    await settle()
    assert not task.done()
    context.sent.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_cancelled_twice_while_something_is_sent_does_not_wait():
    """Whoever cancels again means it."""
    context = Slow()
    task = asyncio.create_task(write(context, b"x"))
    for _ in range(2):
        await settle()
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    context.sent.set()
    await settle()
