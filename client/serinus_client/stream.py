"""One bidirectional stream: the calls that are open on it, their answers, and its end."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable, Sequence

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.balance import CallCost
from serinus_client.connection import Connection
from serinus_client.errors import SerinusError, ServerFault, Unavailable, from_call_error, from_rpc_error
from serinus_client.pending import Pending

FIRST_CREDITS = 1024
"""Calls that may be open on a stream before its server has said how many; servers begin with as many."""

ONLY_WORKER = (1, 1)

_METHOD = "/serinus.v1.PredictService/PredictStream"
_WORKER_KEY = "x-serinus-worker"
_WORKER = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")
_DRAINING = "DRAINING"
_US_PER_S = 1e6

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
        connection: Where it begins.
        cost: Told what answers say that calls cost.
        now: Event-loop time in seconds.
        on_over: Called for each call that ends here.
        on_draining: Called when the server says that it is going away.
        on_room: Called when there may be room for further calls.

    Attributes:
        connection: Where it began.
        began: Event-loop time in seconds.
        open: The calls that were handed to `write` and have no outcome yet, by id.
        open_by_model: How many of them each model has.
        credits: Calls that may be open.
        unsent: The calls of a write that has not finished.
        cancels: Ids of calls that were sent and are no longer wanted; the next message takes them along.
        is_writing: Whether a write has not finished.
        is_proven: Whether the server has ever been heard on this stream.
        is_doubtful: Whether a call that was sent has expired, and nothing was heard since.
        is_retired: Whether nothing more may be written.
        worker: Which of how many workers has it, once `introduced` is set.
        introduced: Set once the server has said which worker has it, or will not.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        cost: CallCost,
        now: float,
        on_over: Callable[[], None],
        on_draining: Callable[["Stream"], None],
        on_room: Callable[[], None],
    ) -> None:
        self.connection = connection
        self.began = now
        self.open: dict[int, Pending] = {}
        self.open_by_model: dict[str, int] = {}
        self.credits = FIRST_CREDITS
        self.unsent: Sequence[Pending] = ()
        self.cancels: list[int] = []
        self.is_writing = False
        self.is_proven = False
        self.is_doubtful = False
        self.is_retired = False
        self.worker = ONLY_WORKER
        self.introduced = asyncio.Event()
        self._rpc = connection.stream(_METHOD)
        self._cost = cost
        self._on_over = on_over
        self._on_draining = on_draining
        self._on_room = on_room
        self._ended = asyncio.Event()

    @property
    def is_live(self) -> bool:
        """Whether it may be written to."""
        return not self.is_retired and not self._ended.is_set()

    def write(self, message: bytes, calls: Sequence[Pending]) -> Coroutine[None, None, None]:
        """Take over `calls`, at once; what is returned sends the message that holds them."""
        for call in calls:
            model = call.lane.model
            self.open[call.id] = call
            self.open_by_model[model] = self.open_by_model.get(model, 0) + 1
        self.unsent = calls
        self.is_writing = True
        return self._write(message)

    async def _write(self, message: bytes) -> None:
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
            self.is_writing = False
            self._on_room()

    async def read(self) -> SerinusError:
        """Hand answers to their calls until the stream ends; return what that means for a call still open."""
        try:
            return await self._read()
        finally:
            self._ended.set()
            self.introduced.set()
            self._rpc.cancel()

    async def _read(self) -> SerinusError:
        try:
            self._introduce(await self._rpc.initial_metadata())
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

    def _introduce(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> None:
        """Take what the server says before its first message; a stream that failed says nothing."""
        said = dict(metadata or ())
        if (found := _WORKER.fullmatch(str(said.get(_WORKER_KEY, "")))) is not None:
            self.worker = int(found[1]), int(found[2])
            self.is_proven = True
            self._on_room()
        self.introduced.set()

    def _deliver(self, message: bytes) -> None:
        self.is_proven = True
        self.is_doubtful = False
        is_draining = False
        response: pb.PredictResponse | None = None
        frame = pb.ReplyFrame.FromString(message)
        if frame.credits:
            self.credits = frame.credits
        for reply in frame.replies:
            call = self._take(reply.id)
            if call is None:  # cancelled or expired here in the meantime
                continue
            if reply.HasField("response"):
                response = reply.response
                call.end(response)
            else:
                call.end(from_call_error(reply.error))
                is_draining = is_draining or reply.error.reason == _DRAINING
            self._on_over()
        if response is not None:  # one speaks for all: they shared a run, or few runs
            self._cost.note(response.compute_us / _US_PER_S, response.batch_rows)
        if is_draining:
            self._on_draining(self)
        self._end_if_done()
        self._on_room()

    def _take(self, call_id: int) -> Pending | None:
        """Remove an open call, if it is one."""
        call = self.open.pop(call_id, None)
        if call is not None:
            model = call.lane.model
            if left := self.open_by_model[model] - 1:
                self.open_by_model[model] = left
            else:
                del self.open_by_model[model]
        return call

    def retire(self) -> None:
        """Write no more; end when the last open call does."""
        self.is_retired = True
        self.cancels.clear()
        self._end_if_done()

    async def end(self) -> None:
        """End the RPC, and return when the transport has let go of it."""
        self._rpc.cancel()
        await self._ended.wait()

    def forget(self, call: Pending) -> bool:
        """Nobody waits for `call` any more; whether it was open here. The server hears of it with the next message."""
        if self._take(call.id) is None:
            return False
        if self.is_live:
            self.cancels.append(call.id)
        self._end_if_done()
        return True

    def take_unsent(self) -> list[Pending]:
        """Remove and return the calls that never left and somebody still waits for, once the stream has ended."""
        unsent = [call for call in self.unsent if not call.is_over]
        for call in unsent:
            self._take(call.id)
        return unsent

    def _end_if_done(self) -> None:
        if self.is_retired and not self.open:
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
