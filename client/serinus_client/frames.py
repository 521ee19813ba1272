"""Carries calls in frames over one stream at a time: what waits while a write is under way shares the next message.

A call is queued → sent → over. It is over when its answer comes, its time is up, its caller leaves, or its stream
ends; none of these touches its neighbours.
"""

import asyncio
import itertools

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.background import Background
from serinus_client.connection import Connection
from serinus_client.deadlines import Deadlines
from serinus_client.errors import DeadlineExceeded, SerinusError, client_closed
from serinus_client.options import FrameLimits
from serinus_client.outbox import Outbox
from serinus_client.pending import Pending
from serinus_client.stream import Stream

_METHOD = "/serinus.v1.PredictService/PredictStream"
_CLOSE_S = 1.0  # ending a stream needs no answer from the server; this only bounds what should be instant
_NO_TIMER = float("inf")


class Frames:
    """Carries calls, in frames. Made inside the event loop that uses it; its writer runs in `background`.

    Args:
        connection: Where streams begin.
        limits: How much goes into one message.
        background: Holds the tasks that write and read.
    """

    def __init__(self, connection: Connection, *, limits: FrameLimits, background: Background) -> None:
        self._connection = connection
        self._background = background
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(limits)
        self._deadlines = Deadlines()
        self._ids = itertools.count(1)
        self._work = asyncio.Event()
        self._stream: Stream | None = None
        self._streams: list[Stream] = []  # that one, and retired ones whose last calls are still open
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NO_TIMER
        self._is_closed = False
        background.spawn(self._write())

    def __repr__(self) -> str:
        sent = sum(len(stream.open) for stream in self._streams)
        return f"<Frames {self._connection.target} [queued {len(self._outbox)}, sent {sent}]>"

    async def carry(self, frame: pb.PredictFrame, size_bytes: int, deadline: float) -> pb.PredictResponse:
        """Send the one call that `frame` holds and wait for its answer.

        Raises:
            SerinusError: it ended without one.
        """
        if self._is_closed:
            raise client_closed()
        call = Pending(
            next(self._ids), frame, size_bytes=size_bytes, deadline=deadline, outcome=self._loop.create_future()
        )
        self._outbox.put(call)
        self._work.set()
        self._deadlines.add(call)
        if deadline < self._timer_at:
            self._arm(deadline)
        try:
            outcome = await call.outcome
        except asyncio.CancelledError:
            self._detach(call)
            self._deadlines.count_over()
            raise
        if isinstance(outcome, SerinusError):
            raise outcome
        return outcome

    async def close(self) -> None:
        """End every open call with Unavailable, and every stream; take no more calls."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for call in itertools.chain(self._outbox, *(stream.open.values() for stream in self._streams)):
            call.end(client_closed())
        # A loop that ends while the transport still works for it gets its events when it is gone.
        endings = [asyncio.ensure_future(stream.end()) for stream in self._streams]
        if endings:
            await asyncio.wait(endings, timeout=_CLOSE_S)

    async def _write(self) -> None:
        """Run until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._outbox:
                await self._write_message()

    async def _write_message(self) -> None:
        calls, cancels = self._outbox.take()
        if not calls and self._stream is None:
            return  # the stream that knew the cancelled calls is gone
        stream = self._stream or self._begin_stream()
        now = self._loop.time()
        parts = [call.to_bytes(now) for call in calls]
        if cancels:
            parts.append(pb.PredictFrame(cancel=cancels).SerializeToString())
        # Messages of one type join by concatenation: repeated fields follow on each other.
        await stream.write(b"".join(parts), calls)

    def _begin_stream(self) -> Stream:
        stream = Stream(self._connection.stream(_METHOD), on_over=self._deadlines.count_over, on_draining=self._retire)
        self._stream = stream
        self._streams.append(stream)
        self._background.spawn(self._read(stream))
        return stream

    async def _read(self, stream: Stream) -> None:
        """Read until the stream ends; then end its calls, or send again what never left."""
        error = await stream.read()
        self._streams.remove(stream)
        if stream is self._stream:
            self._stream = None
            self._outbox.forget_cancels()
        # On a stream that never answered, a failed write says that the server cannot be reached: that is an outcome,
        # not a reason to begin the next stream at once.
        unsent = [call for call in stream.unsent if not call.is_over] if stream.is_proven else []
        for call in unsent:
            stream.open.pop(call.id, None)
        for call in stream.open.values():
            call.end(error.again())
            self._deadlines.count_over()
        if unsent:
            self._outbox.put_back(unsent)
            self._work.set()

    def _retire(self, stream: Stream) -> None:
        """The server behind `stream` is going away: the next call begins another stream."""
        if stream is self._stream:
            self._stream = None
            self._outbox.forget_cancels()
        stream.retire()

    def _detach(self, call: Pending) -> None:
        """Nobody waits for `call` any more."""
        call.frame = None
        if self._outbox.drop(call):
            return
        for stream in self._streams:
            if stream.forget(call) and stream is self._stream:
                self._outbox.cancel(call.id)
                self._work.set()

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        """End the calls whose time is up, and wait for the next such time."""
        # The loop may run a timer a clock tick early.
        for call in self._deadlines.take_expired(max(self._loop.time(), self._timer_at)):
            self._detach(call)
            call.end(DeadlineExceeded(f"no answer from {self._connection.target} in time"))
        self._timer, self._timer_at = None, _NO_TIMER
        if (deadline := self._deadlines.next()) is not None:
            self._arm(deadline)
