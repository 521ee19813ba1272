"""How a stream of requests ends that the server did not read to its end.

A server may answer before it has read everything, with a refusal above all. The write that is under way then fails, and
grpc puts an error of its own in the place of the server's: before the server's arrives, or after. Either way the
server's is what the caller has to hear.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, Coroutine
from typing import Any, TypeVar

import grpc
import grpc.aio

from serinus_client.errors import SerinusError, Unavailable, from_rpc_error

_OWN_ERROR = "Internal error from Core"  # the words that grpc.aio puts there
_WAITS_S = tuple(0.001 * 2**step for step in range(10))  # a second in all: the server's word is on its way, or lost

T = TypeVar("T")


async def send_all(call: Any, messages: AsyncIterable[bytes]) -> None:
    """Write everything, or as much as the server wants; how the call ended is for `Ending` to say."""
    async for message in messages:
        try:
            await call.write(message)
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
            return
    with contextlib.suppress(grpc.aio.InternalError):
        await call.done_writing()


class Ending:
    """Watches a call from its beginning, to know what the server ended it with."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._first: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    async def meaning(self, last: grpc.aio.AioRpcError) -> SerinusError:
        """The error for the call, which `last` was raised for."""
        for wait_s in (0.0, *_WAITS_S):
            for status in (last, self._first, self._now()):
                if status is not None and not _is_own(status):
                    return _meaning(status)
            await asyncio.sleep(wait_s)
        return Unavailable("the connection was lost while sending")

    def _note(self, _call: Any) -> None:
        self._first = self._first or self._now()

    def _now(self) -> grpc.aio.AioRpcError:
        """The status that the call, which is over, has at the moment."""
        call = self._call
        trailers = _at_once(call.trailing_metadata())
        return grpc.aio.AioRpcError(
            _at_once(call.code()), grpc.aio.Metadata(), trailers, details=_at_once(call.details())
        )


def _meaning(status: grpc.aio.AioRpcError) -> SerinusError:
    if status.code() is grpc.StatusCode.OK:
        # With the failed write the answer is gone; another try gets it again.
        return Unavailable("the server answered before it had everything, and its answer was lost")
    return from_rpc_error(status)


def _is_own(status: grpc.aio.AioRpcError) -> bool:
    return status.code() is grpc.StatusCode.INTERNAL and status.details() == _OWN_ERROR


def _at_once(asked: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that has nothing to wait for."""
    try:
        asked.send(None)
    except StopIteration as returned:
        value: T = returned.value
        return value
    asked.close()
    raise AssertionError("a call that is over has no status; this is a bug")
