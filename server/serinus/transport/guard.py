"""The outermost frame of every RPC: whatever happens inside, the caller gets one of our statuses and nothing else.

`grpc.aio` sends the text of an uncaught exception to the client, and never ends a call whose handler raises a
CancelledError of its own making. Interceptors could prevent both, for every call anew; the methods are
wrapped once.
"""

import asyncio
import functools
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import grpc.aio

from serinus.core.errors import BadModelOutput, Draining, ModelFailed, Overloaded, ServerError
from serinus.telemetry.logs import get_logger
from serinus.threads import is_out_of_threads
from serinus.transport.status import WireStatus, internal_error, status_of

log = get_logger("serinus.transport")

Context = grpc.aio.ServicerContext[bytes, bytes]
UnaryMethod = Callable[[bytes, Context], Awaitable[bytes]]
StreamMethod = Callable[[Context], Awaitable[None]]
UploadMethod = Callable[[Context], Awaitable[bytes]]
AnswersMethod = Callable[[bytes, Context], Awaitable[None]]
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_SENT_S = 5.0  # a client that reads, reads what is being sent to it sooner

_NO_THREAD = Overloaded(
    "the system gives the server no further thread: expected the call later", retry_after_s=1.0, reason="OUT_OF_THREADS"
)


def wire_status(error: BaseException, *, method: str) -> WireStatus:
    """How `error` looks to the caller; what nobody foresaw is logged with an id that the caller gets."""
    if isinstance(error, ServerError):
        # Not for what a caller did wrong: it could fill the log.
        if isinstance(error, ModelFailed | BadModelOutput) and error.__cause__ is not None:
            log.warning("call failed", method=method, reason=error.reason, cause=repr(error.__cause__))
        return status_of(error)
    if _is_transports_end(error):
        return status_of(Draining("the server has gone away"))
    if is_out_of_threads(error):
        log.warning("call refused", method=method, trouble=str(error))
        return status_of(_NO_THREAD)
    error_id = uuid.uuid4().hex[:12]
    log.error("unexpected error", method=method, error_id=error_id, exc_info=error)
    return internal_error(error_id)


def _is_transports_end(error: BaseException) -> bool:
    """Whether gRPC's server ended under a handler that was still reading or writing."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_transports_end(leaf) for leaf in error.exceptions)
    others = grpc.aio.AbortError | grpc.aio.InternalError | grpc.aio.UsageError
    return isinstance(error, grpc.aio.BaseError) and not isinstance(error, others)


def is_ours(error: asyncio.CancelledError) -> bool:
    """Whether nobody cancelled the running task: then the error came from inside and must not leave the handler."""
    task = asyncio.current_task()
    assert task is not None, f"handlers run in tasks; {error!r} was raised outside one: this is a bug"
    return not task.cancelling()


async def until_cancelled() -> None:
    """Wait for `grpc.aio` to cancel the handler, after a write has found that the client is gone.

    It does so now or in a moment; a handler that ended before would leak.
    """
    await asyncio.Event().wait()


async def introduce(context: Context, *metadata: tuple[str, str]) -> None:
    """Send a stream's first metadata before its first message; as `write` if the client is gone."""
    try:
        await _whole(context.send_initial_metadata(metadata))
    except grpc.aio.InternalError:
        await until_cancelled()


async def write(context: Context, message: bytes) -> None:
    """Write to a client; never returns, until cancelled, if it is gone: that is no error of the handler's."""
    try:
        await _whole(context.write(message))
    except grpc.aio.InternalError:
        await until_cancelled()


async def _whole(sending: Coroutine[Any, Any, None]) -> None:
    """Await what sends something; who is cancelled meanwhile goes on when it has been sent, or the call is over.

    Until then grpc core takes no status: that of a handler which did not wait would be lost, and its caller would wait
    for ever. One that does not read for `_SENT_S` is not waiting for a status either.
    """
    task = asyncio.create_task(sending)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_seen)
        await asyncio.wait((task,), timeout=_SENT_S)
        task.cancel()
        raise


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


def welcome() -> None:
    """Lets every call in: for services that answer while the server goes away."""


def guarded(
    method: Callable[[Asked, Context], Awaitable[Answer]], name: str, *, arrive: Callable[[], None] = welcome
) -> Callable[[Asked, Context], Awaitable[Answer]]:
    """`method` as a handler that ends with an answer, one of our statuses, or the cancellation it was given.

    Args:
        method: From a message, or an iterator of them, and the context; a method that streams its answers writes them
            to the context.
        name: `service/method`, for the log.
        arrive: Called first; raises when the call must go elsewhere.
    """

    @functools.wraps(method)
    async def handler(message: Asked, context: Context) -> Answer:
        try:
            arrive()
            return await method(message, context)
        except asyncio.CancelledError as error:
            if not is_ours(error):
                raise  # promptly: a handler that returns after its client cancelled leaks in grpc.aio
            status = wire_status(error, method=name)
        except Exception as error:  # noqa: BLE001 - the outermost frame; wire_status logs
            status = wire_status(error, method=name)
        nothing: Answer = _end(context, status)
        return nothing

    return handler


def _end(context: Context, status: WireStatus) -> Any:
    """End the call with a status; the handler returns what this returns, which nobody gets.

    Not `context.abort`, which raises: grpc.aio then builds and looks at a traceback, and a refusal costs more than an
    answer. A server has to refuse most when it can afford it least.
    """
    context.set_code(status.code)
    context.set_details(status.message)
    context.set_trailing_metadata(status.trailers())
    return b""


def guarded_stream(
    method: Callable[[Context], Awaitable[Answer]], name: str, *, arrive: Callable[[], None] = welcome
) -> Callable[[object, Context], Awaitable[Answer]]:
    """The same for a method that reads its stream through the context alone."""

    async def reading_from_context(_messages: object, context: Context) -> Answer:
        return await method(context)

    return guarded(reading_from_context, name, arrive=arrive)
