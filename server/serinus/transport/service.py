"""Registers services whose every method is guarded, from plain functions."""

import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from serinus.core.errors import InvalidInput
from serinus.transport.guard import (
    AnswersMethod,
    Context,
    StreamMethod,
    UnaryMethod,
    UploadMethod,
    guarded,
    guarded_stream,
    write,
)
from serinus.transport.wire_limits import WireLimits

Asked = TypeVar("Asked", bound=Message)

_MOST_ENTRIES = 1024  # of a repeated field, where nobody sets a closer limit
_NONE: Mapping[str, Any] = MappingProxyType({})


def service(
    name: str,
    *,
    unary: Mapping[str, UnaryMethod],
    streams: Mapping[str, StreamMethod] = _NONE,
    uploads: Mapping[str, UploadMethod] = _NONE,
    answers: Mapping[str, AnswersMethod] = _NONE,
    arrive: Callable[[], None],
) -> grpc.GenericRpcHandler:
    """A service of guarded methods.

    Methods get and give serialised messages, so that a message that cannot be parsed is ours to answer.

    Args:
        name: Full name, as in the .proto file.
        unary: Methods with one request and one response, by name.
        streams: Methods that read and write through the context, by name.
        uploads: Methods that read through the context and have one response, by name.
        answers: Methods with one request that write through the context, by name.
        arrive: Called for each call; raises when it must go elsewhere.
    """
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method, behaviour in unary.items():
        handlers[method] = grpc.unary_unary_rpc_method_handler(guarded(behaviour, f"{name}/{method}", arrive=arrive))
    for method, stream in streams.items():
        handlers[method] = grpc.stream_stream_rpc_method_handler(
            guarded_stream(stream, f"{name}/{method}", arrive=arrive)
        )
    for method, upload in uploads.items():
        handlers[method] = grpc.stream_unary_rpc_method_handler(
            guarded_stream(upload, f"{name}/{method}", arrive=arrive)
        )
    for method, answering in answers.items():
        handlers[method] = grpc.unary_stream_rpc_method_handler(guarded(answering, f"{name}/{method}", arrive=arrive))
    return grpc.method_handlers_generic_handler(name, handlers)


def typed(asked: type[Asked], method: Callable[[Asked], Message | Awaitable[Message]]) -> UnaryMethod:
    """A method on messages as a method on bytes, for everything off the hot path."""

    async def unary(message: bytes, _context: Context) -> bytes:
        answer = method(parse(asked, message))
        if not isinstance(answer, Message):
            answer = await answer
        return answer.SerializeToString()

    return unary


def typed_call(asked: type[Asked], method: Callable[[Asked, Context], Awaitable[Message]]) -> UnaryMethod:
    """The same for a method that wants to know who calls, or how long the caller waits."""

    async def unary(message: bytes, context: Context) -> bytes:
        return (await method(parse(asked, message), context)).SerializeToString()

    return unary


def typed_answers(asked: type[Asked], method: Callable[[Asked, Context], AsyncGenerator[Message]]) -> AnswersMethod:
    """The same for a method that streams its answers; the next one is asked for once the last one is on its way."""

    async def answers(message: bytes, context: Context) -> None:
        async with contextlib.aclosing(method(parse(asked, message), context)) as found:
            async for answer in found:
                await write(context, answer.SerializeToString())

    return answers


@functools.cache
def _usual_limits(asked: type[Message]) -> WireLimits:
    return WireLimits.of(asked, _MOST_ENTRIES)


def parse(asked: type[Asked], message: bytes, limits: WireLimits | None = None) -> Asked:
    """A message from its bytes.

    Args:
        asked: The message's type.
        message: Its bytes.
        limits: How many parts it may have; None stands for what any message of this type may have.

    Raises:
        InvalidInput: they are not one, or it has too many parts.
    """
    limits = limits or _usual_limits(asked)  # type: ignore[arg-type]  # mypy takes the class to be as unhashable as its messages
    limits.check_bytes(message)
    try:
        parsed = asked.FromString(message)
    except DecodeError as error:
        raise InvalidInput(
            f"cannot parse the message as a {asked.DESCRIPTOR.name}", reason="MALFORMED_REQUEST"
        ) from error
    limits.check_parsed(parsed)
    return parsed
