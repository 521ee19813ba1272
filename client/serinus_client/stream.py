"""One bidirectional stream: the calls that are open on it, their answers, and its end."""

import asyncio
from collections.abc import Callable, Sequence

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.connection import Rpc
from serinus_client.errors import SerinusError, ServerFault, Unavailable, from_call_error, from_rpc_error
from serinus_client.pending import Pending

_DRAINING = "DRAINING"

_BROKEN = frozenset({
    grpc.StatusCode.UNAVAILABLE,
    # What a reset connection, a proxy that gave up or a handler that died look like from here.
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
})  # fmt: skip


class Stream:
    """A stream on its way: open → (retired →) ended.

    Args:
        rpc: The stream itself.
        on_over: Called for each call that ends here.
        on_draining: Called when the server says that it is going away.

    Attributes:
        open: The calls that were handed to `write` and have no outcome yet, by id.
        unsent: The calls of a write that has not finished.
        is_proven: Whether the server has ever answered on this stream.
    """

    def __init__(self, rpc: Rpc, *, on_over: Callable[[], None], on_draining: Callable[["Stream"], None]) -> None:
        self.open: dict[int, Pending] = {}
        self.unsent: Sequence[Pending] = ()
        self.is_proven = False
        self._rpc = rpc
        self._on_over = on_over
        self._on_draining = on_draining
        self._is_retired = False
        self._ended = asyncio.Event()

    async def write(self, message: bytes, calls: Sequence[Pending]) -> None:
        """Send a message that holds `calls`. Returns when the transport has taken it, or the stream has ended."""
        self.open.update({call.id: call for call in calls})
        self.unsent = calls
        try:
            await self._rpc.write(message)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            # `read` learns why. Until then nothing more may be written here.
            await self._ended.wait()
        except asyncio.CancelledError:
            if _is_this_task_cancelled():
                raise
            await self._ended.wait()
        else:
            self.unsent = ()

    async def read(self) -> SerinusError:
        """Hand answers to their calls until the stream ends; return what that means for a call still open."""
        try:
            return await self._read()
        finally:
            self._ended.set()
            self._rpc.cancel()

    async def _read(self) -> SerinusError:
        try:
            while True:
                message = await self._rpc.read()
                if not isinstance(message, bytes):
                    return Unavailable("the server ended the stream")
                self._deliver(message)
        except grpc.aio.AioRpcError as error:
            return _meaning(error)
        except DecodeError:
            return ServerFault("the server sent a frame that cannot be read", reason="MALFORMED_RESPONSE")
        except asyncio.CancelledError:
            # Two cases: 1. this task was cancelled; 2. `retire` or `end` cancelled the RPC.
            if _is_this_task_cancelled():
                raise
            return Unavailable("the stream was ended")

    def _deliver(self, message: bytes) -> None:
        self.is_proven = True
        is_draining = False
        open_calls = self.open
        for reply in pb.ReplyFrame.FromString(message).replies:
            call = open_calls.pop(reply.id, None)
            if call is None:  # cancelled or expired here in the meantime
                continue
            if reply.HasField("response"):
                call.end(reply.response)
            else:
                call.end(from_call_error(reply.error))
                is_draining = is_draining or reply.error.reason == _DRAINING
            self._on_over()
        if is_draining:
            self._on_draining(self)
        self._end_if_done()

    def retire(self) -> None:
        """Write no more; end when the last open call does."""
        self._is_retired = True
        self._end_if_done()

    async def end(self) -> None:
        """End the RPC, and return when the transport has let go of it."""
        self._rpc.cancel()
        await self._ended.wait()

    def forget(self, call: Pending) -> bool:
        """Nobody waits for `call` any more; whether it was open here."""
        if self.open.pop(call.id, None) is None:
            return False
        self._end_if_done()
        return True

    def _end_if_done(self) -> None:
        if self._is_retired and not self.open:
            self._rpc.cancel()


def _meaning(error: grpc.aio.AioRpcError) -> SerinusError:
    """What the end of the stream means for each call that was open on it."""
    if error.code() in _BROKEN:
        return Unavailable(error.details() or "the connection was lost")
    return from_rpc_error(error)


def _is_this_task_cancelled() -> bool:
    """Whether a CancelledError was meant for this task; grpc raises one for an RPC that was cancelled as well."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
