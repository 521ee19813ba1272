"""Many calls in one message: the stream that the SDK speaks.

A `grpc.aio` message costs the same whatever it carries, so each carries all there is: the calls of a frame are started
together, and answers go out together with whatever else finished while the last write was in flight.
"""

import asyncio
import functools
from time import monotonic

import grpc
import grpc.aio

from serinus.core.errors import InvalidInput, Overloaded, ServerError
from serinus.core.predictor import Predictor, Request
from serinus.telemetry.metrics import Metrics
from serinus.transport.attributes import NOTHING_SAID, Said
from serinus.transport.credits import CreditWindow
from serinus.transport.drain import Drain
from serinus.transport.guard import Context, introduce, is_ours, until_cancelled, wire_status
from serinus.transport.known_calls import KnownCalls
from serinus.transport.predict_codec import PredictDecoder, PredictEncoder
from serinus.transport.service import parse
from serinus.transport.status import WireStatus
from serinus.transport.wire import length_tag, nested, number_tag, varint
from serinus_api.v1 import predict_pb2 as pb

# Of one stream; beyond either, its frames wait in the transport, and with them the client.
MOST_CALLS = 4096
MOST_WAITING_BYTES = 16 << 20  # replies that the client does not take; more than a fast one ever leaves waiting
_MOST_REPLY_BYTES = 1 << 20  # a message stays far below any receive limit, unless one answer alone is larger
_MOST_CANCELS = 2 * MOST_CALLS  # of one frame: each open call, and as many that ended meanwhile
_METHOD = "serinus.v1.PredictService/PredictStream"
_CANCELLED = pb.CallError(
    code=grpc.StatusCode.CANCELLED.value[0], message="CANCELLED: the caller cancelled the call", reason="CANCELLED"
).SerializeToString()
_REPLY, _CALL_ID, _RESPONSE, _ERROR = length_tag(1), number_tag(1), length_tag(2), length_tag(3)
_CREDITS = number_tag(2)
_WORKER_KEY = "x-serinus-worker"


class FrameStream:
    """One PredictStream: reads frames, starts their calls, writes their replies.

    Reading → (the client is done, or the server drains) finishing → closed. Each call ends with one reply, unless the
    stream breaks.

    Attributes:
        said: In the stream's metadata, of all its calls.
        worker: Which of how many processes has it, such as "2/4": clients that know spread their streams over all.
    """

    def __init__(
        self,
        context: Context,
        *,
        said: Said = NOTHING_SAID,
        predictor: Predictor,
        decoder: PredictDecoder,
        encoder: PredictEncoder,
        drain: Drain,
        metrics: Metrics,
        worker: str = "1/1",
    ) -> None:
        self._context = context
        self._worker = worker
        self._said = said
        self._predictor = predictor
        self._decoder = decoder
        self._known = KnownCalls(decoder, said)
        self._encoder = encoder
        self._drain = drain
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._room = asyncio.Event()
        self._replies: list[bytes] = []
        self._waiting_bytes = 0
        self._replies_wait = asyncio.Event()
        self._window = CreditWindow(most=MOST_CALLS, now=monotonic())
        self._finished = False
        self._broken: ServerError | None = None

    async def serve(self) -> None:
        """Answer calls until the client is done or the server drains, then those that are still open.

        Raises:
            InvalidInput: a message was no frame; the calls before it have been answered.
        """
        await introduce(self._context, (_WORKER_KEY, self._worker))
        try:
            async with asyncio.TaskGroup() as jobs:
                jobs.create_task(self._write())
                await self._drain.first_of(jobs.create_task(self._read()))
                await self._wait_for_calls()
                self._finished = True
                self._replies_wait.set()
        finally:
            # Not in the group: its bookkeeping would cost each call as much as the queue does.
            self._cancel_calls()
            await self._wait_for_calls()
        if self._broken is not None:
            raise self._broken

    def _cancel_calls(self) -> None:
        for task in self._calls.values():
            task.cancel()

    async def _wait_for_calls(self) -> None:
        if self._calls:
            await asyncio.wait(self._calls.values())

    async def _read(self) -> None:
        while (message := await self._context.read()) is not grpc.aio.EOF:  # type: ignore[comparison-overlap]  # the stubs forget the end
            try:
                self._take(message)
            except InvalidInput as error:
                self._metrics.refused(error.reason)
                self._broken = error
                return
            self._window.opened(len(self._calls))
            while len(self._calls) >= MOST_CALLS or self._waiting_bytes >= MOST_WAITING_BYTES:
                self._room.clear()
                await self._room.wait()

    def _take(self, message: bytes) -> None:
        """Start the calls of a message, and cancel those that it says.

        Raises:
            InvalidInput: it is no frame.
        """
        now = monotonic()
        known = self._known.read(message, now)
        if known is not None:
            for call_id, request in known:
                self._start_known(call_id, request)
            return
        frame = _frame(message)
        for call_id in frame.cancel:
            if (task := self._calls.get(call_id)) is not None:
                task.cancel()
        size_bytes = len(message) // max(1, len(frame.calls))
        for call in frame.calls:
            self._start(call, size_bytes=size_bytes, now=now)
        self._known.learn(frame.calls)

    def _start_known(self, call_id: int, request: Request) -> None:
        if call_id in self._calls:
            self._refuse(call_id, _duplicate(call_id))
        else:
            self._run(call_id, request)

    def _start(self, call: pb.Call, *, size_bytes: int, now: float) -> None:
        call_id = call.id
        if call_id in self._calls:
            self._refuse(call_id, _duplicate(call_id))
            return
        try:
            # A stream's gRPC deadline ends all of its calls by ending the stream; each has its own besides.
            request = self._decoder.decode(
                call.request, size_bytes=size_bytes, now=now, remaining_s=None, said=self._said
            )
        except Exception as error:  # noqa: BLE001 - a call's outermost frame: the others of its stream go on
            self._refuse(call_id, error)
        else:
            self._run(call_id, request)

    def _refuse(self, call_id: int, error: Exception) -> None:
        if isinstance(error, ServerError):
            self._metrics.refused(error.reason)
        self._reply_error(call_id, wire_status(error, method=_METHOD))

    def _run(self, call_id: int, request: Request) -> None:
        task = self._loop.create_task(self._answer(call_id, request))
        self._calls[call_id] = task
        task.add_done_callback(functools.partial(self._end, call_id))

    async def _answer(self, call_id: int, request: Request) -> None:
        try:
            response = await self._predictor.predict(request)
            self._window.answered(response)
            started = monotonic()
            answer = self._encoder.encode(request, response)
            self._metrics.encoded(response.answered_by, monotonic() - started)
        except asyncio.CancelledError as error:
            if not is_ours(error):
                raise
            self._reply_error(call_id, wire_status(error, method=_METHOD))
        except Exception as error:  # noqa: BLE001 - a call's outermost frame; wire_status logs
            if isinstance(error, Overloaded):
                self._window.refused()
            self._reply_error(call_id, wire_status(error, method=_METHOD))
        else:
            self._reply(call_id, _RESPONSE, answer)

    def _end(self, call_id: int, task: asyncio.Task[None]) -> None:
        """A call is over, perhaps before its task took a step."""
        del self._calls[call_id]
        self._room.set()
        if task.cancelled():
            self._reply(call_id, _ERROR, _CANCELLED)

    def _reply_error(self, call_id: int, status: WireStatus) -> None:
        error = pb.CallError(code=status.number, message=status.message, reason=status.reason)
        if status.retry_after_ms is not None:
            error.retry_after_ms = status.retry_after_ms
        self._reply(call_id, _ERROR, error.SerializeToString())

    def _reply(self, call_id: int, outcome: bytes, content: bytes) -> None:
        # Serialised frames put end to end are the frame of all their replies: that is how protobuf merges messages.
        reply = nested(_REPLY, _CALL_ID + varint(call_id) + nested(outcome, content))
        self._replies.append(reply)
        self._waiting_bytes += len(reply)
        self._replies_wait.set()

    async def _write(self) -> None:
        while not self._finished or self._replies:
            await self._replies_wait.wait()
            self._replies_wait.clear()
            while self._replies:
                try:
                    await self._context.write(self._next_frame())
                except grpc.aio.InternalError:  # the client is gone
                    self._cancel_calls()
                    await until_cancelled()

    def _next_frame(self) -> bytes:
        """The replies that wait, in one message of about 1 MiB at most, or of one long reply."""
        size = 0
        for count, reply in enumerate(self._replies):
            size += len(reply)
            if size > _MOST_REPLY_BYTES and count:
                frame = b"".join(self._replies[:count])
                del self._replies[:count]
                break
        else:
            frame = b"".join(self._replies)
            self._replies.clear()
        self._waiting_bytes -= len(frame)
        self._room.set()
        if self._window.review(monotonic(), open_calls=len(self._calls)):
            frame += _CREDITS + varint(self._window.size)
        return frame


def _duplicate(call_id: int) -> InvalidInput:
    return InvalidInput(f"call {call_id}: expected an id that no open call has", reason="DUPLICATE_CALL_ID")


def _frame(message: bytes) -> pb.PredictFrame:
    frame = parse(pb.PredictFrame, message)
    if len(frame.cancel) > _MOST_CANCELS:
        raise InvalidInput(
            f"cancel: expected at most {_MOST_CANCELS} entries, got {len(frame.cancel)}",
            reason="TOO_MANY_ENTRIES",
            field="cancel",
        )
    return frame
