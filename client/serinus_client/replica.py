"""One replica: its connections, and a stream to each of the workers that share its port.

The kernel gives each new connection to one of the workers by a hash of its ports, so nobody can ask for a certain one:
whoever wants all of them opens connections until each has been met, and closes those that met one twice.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence

from serinus_client.background import Background
from serinus_client.connection import Connection
from serinus_client.errors import SerinusError
from serinus_client.options import Spread
from serinus_client.stream import Stream

_PAUSE_GROWTH = 1.5
_REST_GROWTH = 2.0


class Replica:
    """One address and the streams to it. Made inside the event loop that uses it.

    Its keeper looks for workers that no stream reaches, and replaces streams that have become old; calls go on
    meanwhile over the streams there are.

    Args:
        connect: Makes a connection to the address.
        begin: Begins a stream on a connection, with its reader.
        has_others: Whether there are streams to other replicas.
        spread: How many connections are tried, and when.
        rng: Draws what should differ between clients.
        background: Holds the keeper.

    Attributes:
        home: The connection for unary calls and for the first stream.
        streams: Those that may be written to, each to another worker.
        rests_until: Event-loop time in seconds; until then it is left alone where there are others.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        begin: Callable[[Connection], Stream],
        *,
        has_others: Callable[[], bool],
        spread: Spread,
        rng: random.Random,
        background: Background,
    ) -> None:
        self._connect = connect
        self._opened: set[Connection] = set()  # those that call for nothing any more, but are not closed yet, included
        self.home = self._open()
        self.streams: list[Stream] = []
        self.rests_until = 0.0
        self._begin = begin
        self._has_others = has_others
        self._spread = spread
        self._rng = rng
        self._background = background
        self._loop = asyncio.get_running_loop()
        self._failures = 0
        self._tries = 0
        self._changed = asyncio.Event()
        self._renew_at = 0.0
        self._keeper = background.spawn(self._keep())

    def __repr__(self) -> str:
        workers = ", ".join(f"{number}/{count}" for number, count in (stream.worker for stream in self.streams))
        return f"<Replica {self.home.target} [{workers}]>"

    @property
    def connections(self) -> Sequence[Connection]:
        """Those that calls may use."""
        return [self.home, *(stream.connection for stream in self.streams if stream.connection is not self.home)]

    def begin_first(self) -> None:
        """Begin a stream, because there is none."""
        stream = self._begin(self.home)
        self._add(stream)
        self._background.spawn(self._give_up(stream))

    def note_answer(self) -> None:
        """The replica was heard."""
        self._failures = 0
        self.rests_until = 0.0

    def note_failure(self) -> None:
        """It could not be reached, or went away."""
        spread = self._spread
        rest_s = min(spread.longest_rest_s, spread.first_rest_s * _REST_GROWTH**self._failures)
        self._failures = min(self._failures + 1, 32)  # no power of it that a float cannot hold
        self.rests_until = self._loop.time() + rest_s * self._rng.uniform(1.0 - spread.jitter, 1.0)

    def remove(self, stream: Stream, error: SerinusError | None) -> None:
        """A stream has ended, with an error, or will get no further calls (None)."""
        if stream not in self.streams:
            return
        self.streams.remove(stream)
        if error is not None and not self.streams:
            if stream.is_proven:
                self._failures = 0
            self.note_failure()
        if stream.connection is not self.home:
            self._background.spawn(self._leave(stream.connection))
        self._look_again()

    async def retire(self) -> None:
        """Get no further calls, and end with those that are under way."""
        self._keeper.cancel()
        self.rests_until = float("inf")
        connections = self.connections
        for stream in tuple(self.streams):
            self.streams.remove(stream)
            stream.retire()
        await asyncio.gather(*(self._leave(connection) for connection in connections))

    async def close(self) -> None:
        """End everything."""
        await asyncio.gather(*(connection.close() for connection in self._opened))

    def _open(self) -> Connection:
        connection = self._connect()
        self._opened.add(connection)
        return connection

    async def _leave(self, connection: Connection) -> None:
        """Close a connection once the calls that are under way on it have ended."""
        await connection.leave()
        self._opened.discard(connection)

    def _add(self, stream: Stream) -> None:
        self.streams.append(stream)
        self._background.spawn(self._hear(stream))

    async def _hear(self, stream: Stream) -> None:
        """Wait until a stream is known to have reached its server."""
        await stream.introduced.wait()
        if stream.is_proven and stream in self.streams:
            self.note_answer()
            self._look_again()

    def _look_again(self) -> None:
        self._tries = 0
        self._changed.set()

    async def _give_up(self, stream: Stream) -> None:
        """End a stream whose server does not come: what was to be written goes elsewhere."""
        await asyncio.sleep(self._spread.connect_s)
        if stream.is_live and stream.is_writing and not stream.is_proven and self._has_others():
            await stream.end()

    # What the keeper does.

    async def _keep(self) -> None:
        """Run until cancelled."""
        self._plan_renewal()
        while True:
            is_timely = False
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._changed.wait()
            except TimeoutError:
                is_timely = True
            self._changed.clear()
            if is_timely and self._loop.time() >= self._renew_at:
                self._plan_renewal()
                await self._renew()
            elif is_timely and self._is_incomplete():
                self._tries += 1
                await self._find_another()

    def _plan_renewal(self) -> None:
        jitter = self._spread.jitter
        self._renew_at = self._loop.time() + self._spread.renew_s * self._rng.uniform(1.0 - jitter, 1.0 + jitter)

    def _pause_s(self) -> float:
        """Until there is something to do."""
        renewal_s = max(0.0, self._renew_at - self._loop.time())
        if not self._is_incomplete():
            return renewal_s
        pause_s = self._spread.first_pause_s * _PAUSE_GROWTH ** min(self._tries - 1, 32) if self._tries else 0.0
        return min(renewal_s, self._spread.longest_pause_s, pause_s)

    def _is_incomplete(self) -> bool:
        """Whether there are workers that no stream reaches."""
        proven = [stream for stream in self.streams if stream.is_proven]
        if not proven:
            return False
        count = max(stream.worker[1] for stream in proven)
        found = {stream.worker[0] for stream in proven}
        return len(found) < count

    async def _find_another(self) -> None:
        """Open a connection, and keep it if it meets a worker that no stream reaches yet."""
        async with self._candidate() as stream:
            if stream is None or stream.worker[0] in {known.worker[0] for known in self.streams}:
                return
            self._add(stream)

    async def _renew(self) -> None:
        """Replace the stream that reaches the same worker as a new connection, or the oldest if none does."""
        if not self.streams:
            return
        async with self._candidate() as stream:
            if stream is None or not self.streams:
                return
            same = [known for known in self.streams if known.worker[0] == stream.worker[0]]
            old = min(same or self.streams, key=lambda known: known.began)
            self._add(stream)
            if old.connection is self.home:
                self.home = stream.connection
            old.retire()
            self.remove(old, None)

    @contextlib.asynccontextmanager
    async def _candidate(self) -> AsyncIterator[Stream | None]:
        """A stream on a connection of its own; None if the replica does not answer. Ended unless it was added."""
        connection = self._open()
        stream = self._begin(connection)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._spread.connect_s):
                    await stream.introduced.wait()
            yield stream if stream.is_proven and stream.is_live else None
        finally:
            if stream not in self.streams:
                stream.retire()
                await connection.close()
                self._opened.discard(connection)
