"""Carries calls in frames: what waits while the writes of a moment are under way shares the next messages.

A call is queued → sent → over. It is over when its answer comes, its time is up, its caller leaves, or its stream
ends; none of these touches its neighbours.
"""

import asyncio
import itertools
import random

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.background import Background
from serinus_client.balance import CallCost, choose
from serinus_client.connection import Connection
from serinus_client.deadlines import Deadlines
from serinus_client.errors import DeadlineExceeded, SerinusError, client_closed
from serinus_client.fleet import Fleet
from serinus_client.options import MOST_CALLS, Settings
from serinus_client.outbox import Outbox
from serinus_client.pending import Pending
from serinus_client.stream import Stream

_CLOSE_S = 1.0  # ending a stream needs no answer from the server; this only bounds what should be instant
_NO_TIMER = float("inf")


class Frames:
    """Carries calls, in frames. Made inside the event loop that uses it.

    Args:
        settings: What the client was told.
        rng: Draws what should differ between clients.
        background: Holds the tasks that write and read.

    Attributes:
        fleet: The replicas that calls go to.
    """

    def __init__(self, settings: Settings, *, rng: random.Random, background: Background) -> None:
        self._target = settings.target
        self._background = background
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(settings.frame_limits)
        self._deadlines = Deadlines()
        self._cost = CallCost()
        self._ids = itertools.count(1)
        self._streams: list[Stream] = []  # retired ones too, whose last calls are still open
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NO_TIMER
        self._is_planned = False
        self._is_closed = False
        self.fleet = Fleet(
            settings,
            rng=rng,
            background=background,
            begin=self._begin_stream,
            on_replicas=self._plan,
            on_nothing=self._end_waiting,
        )

    def __repr__(self) -> str:
        sent = sum(len(stream.open) for stream in self._streams)
        return f"<Frames {self._target} [queued {len(self._outbox)}, sent {sent}]>"

    async def carry(self, frame: pb.PredictFrame, size_bytes: int, deadline: float) -> pb.PredictResponse:
        """Send the one call that `frame` holds and wait for its answer.

        Raises:
            SerinusError: it ended without one.
        """
        if self._is_closed:
            raise client_closed()
        call = Pending(
            next(self._ids),
            frame,
            size_bytes=size_bytes,
            since=self._loop.time(),
            deadline=deadline,
            outcome=self._loop.create_future(),
        )
        self._outbox.put(call)
        self._plan()
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

    def _plan(self) -> None:
        """Write at the end of this turn of the loop: calls that come together travel together."""
        if not self._is_planned:
            self._is_planned = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Hand what waits to the streams that can take it."""
        self._is_planned = False
        if self._is_closed:
            return
        while self._outbox:
            chosen = choose(self.fleet.streams(), waiting=len(self._outbox), together=self._cost.together)
            if chosen is None:
                break
            stream, most = chosen
            calls = self._outbox.take(
                most, now=self._loop.time(), room=stream.credits - len(stream.open), open_by_model=stream.open_by_model
            )
            if not calls:
                break
            self._send(stream, calls)
        for stream in self._streams:
            if stream.cancels and stream.is_live and not stream.is_writing:
                self._send(stream, [])

    def _send(self, stream: Stream, calls: list[Pending]) -> None:
        now = self._loop.time()
        parts = [call.to_bytes(now) for call in calls]
        if stream.cancels:
            cancels, stream.cancels = stream.cancels[:MOST_CALLS], stream.cancels[MOST_CALLS:]
            parts.append(pb.PredictFrame(cancel=cancels).SerializeToString())
        # Messages of one type join by concatenation: repeated fields follow on each other.
        self._background.spawn(stream.write(b"".join(parts), calls))

    def _begin_stream(self, connection: Connection) -> Stream:
        stream = Stream(
            connection,
            cost=self._cost,
            now=self._loop.time(),
            on_over=self._deadlines.count_over,
            on_draining=self.fleet.retire,
            on_room=self._plan,
        )
        self._streams.append(stream)
        self._background.spawn(self._read(stream))
        return stream

    async def _read(self, stream: Stream) -> None:
        """Read until the stream ends; then end its calls, or send again what never left."""
        error = await stream.read()
        self._streams.remove(stream)
        has_others = self.fleet.ended(stream, error)
        # On a stream that never reached its server, a failed write says that there is none: where there is no other
        # replica that is an outcome, not a reason to begin the next stream at once.
        unsent = stream.take_unsent() if stream.is_proven or has_others else []
        for call in tuple(stream.open.values()):
            call.end(error.again())
            self._deadlines.count_over()
        stream.open.clear()
        self._outbox.put_back(unsent)
        self._plan()

    def _end_waiting(self, error: SerinusError) -> None:
        """No server is known that what waits could be sent to."""
        for call in tuple(self._outbox):
            self._outbox.drop(call)
            call.end(error.again())
            self._deadlines.count_over()

    def _detach(self, call: Pending) -> Stream | None:
        """Nobody waits for `call` any more; return the stream that it was sent on."""
        call.frame = None
        if self._outbox.drop(call):
            return None
        for stream in self._streams:
            if stream.forget(call):
                self._plan()
                return stream
        return None

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        """End the calls whose time is up, and wait for the next such time."""
        # The loop may run a timer a clock tick early.
        for call in self._deadlines.take_expired(max(self._loop.time(), self._timer_at)):
            if (stream := self._detach(call)) is not None:
                stream.is_doubtful = True
            call.end(DeadlineExceeded(f"no answer from {self._target} in time"))
        self._timer, self._timer_at = None, _NO_TIMER
        if (deadline := self._deadlines.next()) is not None:
            self._arm(deadline)
