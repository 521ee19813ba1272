"""Registers services whose every method is guarded, from plain functions."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from serinus.core.errors import InvalidInput
from serinus.transport.guard import Context, StreamMethod, UnaryMethod, guarded_stream, guarded_unary

Asked = TypeVar("Asked", bound=Message)


def service(
    name: str, *, unary: Mapping[str, UnaryMethod], streams: Mapping[str, StreamMethod]
) -> grpc.GenericRpcHandler:
    """A service of guarded methods.

    Methods get and give serialised messages, so that a message that cannot be parsed is ours to answer.

    Args:
        name: Full name, as in the .proto file.
        unary: Methods with one request and one response, by name.
        streams: Methods that read and write through the context, by name.
    """
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method, behaviour in unary.items():
        handlers[method] = grpc.unary_unary_rpc_method_handler(guarded_unary(behaviour, f"{name}/{method}"))
    for method, stream in streams.items():
        handlers[method] = grpc.stream_stream_rpc_method_handler(guarded_stream(stream, f"{name}/{method}"))
    return grpc.method_handlers_generic_handler(name, handlers)


def typed(asked: type[Asked], method: Callable[[Asked], Message | Awaitable[Message]]) -> UnaryMethod:
    """A method on messages as a method on bytes, for everything off the hot path."""

    async def unary(message: bytes, _context: Context) -> bytes:
        answer = method(parse(asked, message))
        if not isinstance(answer, Message):
            answer = await answer
        return answer.SerializeToString()

    return unary


def parse(asked: type[Asked], message: bytes) -> Asked:
    """A message from its bytes.

    Raises:
        InvalidInput: they are not one.
    """
    try:
        return asked.FromString(message)
    except DecodeError as error:
        raise InvalidInput(
            f"cannot parse the message as a {asked.DESCRIPTOR.name}", reason="MALFORMED_REQUEST"
        ) from error
