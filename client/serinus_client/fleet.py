"""All replicas of a target: which there are, which of them get calls, and over which connection the next call goes."""

import asyncio
import contextlib
import functools
import itertools
import random
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence

from serinus_client.background import Background
from serinus_client.connection import Connection
from serinus_client.errors import SerinusError, Unavailable
from serinus_client.options import Settings
from serinus_client.replica import Replica
from serinus_client.stream import Stream
from serinus_client.targets import Address, is_name, replicas_in, resolved

_GONE = frozenset({"UNAVAILABLE", "DRAINING"})  # not a server that answers and says that something else is not there

Begin = Callable[[Connection], Stream]


class Fleet:
    """The replicas of one target. Made inside the event loop that uses it; ended by `close`.

    Args:
        settings: What the client was told.
        rng: Draws what should differ between clients.
        background: Holds the tasks that watch over streams and names.
        begin: Begins a stream on a connection, with its reader.
        on_replicas: Called when a name was resolved for the first time.
        on_nothing: Called with the reason when no replica is known.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        rng: random.Random,
        background: Background,
        begin: Begin,
        on_replicas: Callable[[], None],
        on_nothing: Callable[[SerinusError], None],
    ) -> None:
        self._settings = settings
        self._rng = rng
        self._background = background
        self._begin = begin
        self._on_replicas = on_replicas
        self._on_nothing = on_nothing
        self._loop = asyncio.get_running_loop()
        self._replicas: dict[Address, Replica] = {}
        self._leaving: set[Replica] = set()
        self._turns = itertools.count()
        self._located = asyncio.Event()
        self._wanted = asyncio.Event()
        self._problem: SerinusError | None = None
        self._names = replicas_in(settings.target)
        rng.shuffle(names := list(self._names))  # clients that begin alike should not all begin with the same replica
        if any(map(is_name, names)):
            background.spawn(self._follow_names())
        else:
            self._keep([Address(name) for name in names])
            self._located.set()

    def __repr__(self) -> str:
        return f"<Fleet {self._settings.target} {list(self._replicas.values())}>"

    # For frames.

    def streams(self) -> list[Stream]:
        """The streams that may be written to, the order staying; begins some where there are none."""
        now = self._loop.time()
        replicas = self._replicas.values()
        idle = [replica for replica in replicas if not replica.streams]
        for replica in idle:
            if replica.rests_until <= now:
                replica.begin_first()
        if idle and len(idle) == len(replicas) and not any(replica.streams for replica in idle):
            min(idle, key=_rest).begin_first()
        if not replicas:
            self._wanted.set()
        return [stream for replica in replicas for stream in replica.streams if stream.is_live]

    def ended(self, stream: Stream, error: SerinusError) -> bool:
        """A stream has ended; return whether others may take what it did not send."""
        for replica in self._replicas.values():
            replica.remove(stream, error)
        now = self._loop.time()
        return any(replica.rests_until <= now or replica.streams for replica in self._replicas.values())

    def retire(self, stream: Stream) -> None:
        """The server behind a stream is going away."""
        for replica in self._replicas.values():
            replica.remove(stream, None)
        stream.retire()

    # For single calls.

    async def unary(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Make one call to the server that all such calls go to while it is there: what one wrote the next reads.

        Raises:
            SerinusError: it ended without an answer.
        """
        replica = await self._first(timeout_s)
        return await self._watched(replica, replica.home.unary(method, request, timeout_s=timeout_s))

    async def unary_in_turn(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Make one call to the replica and worker whose turn it is.

        Raises:
            SerinusError: it ended without an answer.
        """
        await self._first(timeout_s)
        usable = self._rested()
        turn, place = divmod(next(self._turns), len(usable))
        replica = usable[place]
        connections = replica.connections
        connection = connections[turn % len(connections)]
        return await self._watched(replica, connection.unary(method, request, timeout_s=timeout_s))

    async def upload(self, method: str, messages: AsyncIterable[bytes], *, timeout_s: float) -> bytes:
        """As `Connection.upload`, to the same server as `unary`."""
        replica = await self._first(timeout_s)
        return await self._watched(replica, replica.home.upload(method, messages, timeout_s=timeout_s))

    async def download(self, method: str, request: bytes, *, timeout_s: float | None) -> AsyncGenerator[bytes, None]:
        """As `Connection.download`, from the same server as `unary`."""
        replica = await self._first(timeout_s)
        messages = replica.home.download(method, request, timeout_s=timeout_s)
        async with contextlib.aclosing(messages):
            async for message in messages:
                yield message

    async def close(self) -> None:
        """End all calls and connections."""
        await asyncio.gather(*(replica.close() for replica in (*self._replicas.values(), *self._leaving)))

    async def _first(self, timeout_s: float | None) -> Replica:
        if not self._located.is_set():
            self._wanted.set()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._located.wait()
            except TimeoutError:
                raise Unavailable(f"{self._settings.target!r} was not resolved in time") from None
        if not self._replicas:
            raise self._problem.again() if self._problem else Unavailable("there is no replica")
        return self._rested()[0]

    def _rested(self) -> Sequence[Replica]:
        """Those that may get calls: all but those that rest, unless all do."""
        now = self._loop.time()
        replicas = list(self._replicas.values())
        return [replica for replica in replicas if replica.rests_until <= now] or [min(replicas, key=_rest)]

    async def _watched(self, replica: Replica, call: Awaitable[bytes]) -> bytes:
        try:
            answer = await call
        except Unavailable as error:
            if error.reason in _GONE:
                replica.note_failure()
            raise
        replica.note_answer()
        return answer

    # Which replicas there are.

    def _keep(self, addresses: Sequence[Address]) -> None:
        """Have these replicas and no others."""
        for address in [address for address in self._replicas if address not in addresses]:
            self._leaving.add(replica := self._replicas.pop(address))
            self._background.spawn(self._retire(replica))
        for address in addresses:
            if address not in self._replicas:
                self._replicas[address] = Replica(
                    functools.partial(self._connect, address),
                    self._begin,
                    has_others=lambda: len(self._replicas) > 1,
                    spread=self._settings.spread,
                    rng=self._rng,
                    background=self._background,
                )

    async def _retire(self, replica: Replica) -> None:
        await replica.retire()
        self._leaving.discard(replica)

    def _connect(self, address: Address) -> Connection:
        settings = self._settings
        return Connection(
            address.target,
            credentials=settings.credentials,
            server_name=settings.server_name or (address.host if settings.credentials is not None else ""),
            metadata=settings.metadata,
        )

    async def _follow_names(self) -> None:
        """Resolve the names of the target when the first call needs them, and again from time to time."""
        spread = self._settings.spread
        await self._wanted.wait()
        while True:
            try:
                found = [address for name in self._names for address in await resolved(name)]
            except SerinusError as error:
                self._problem = error
                wait_s = spread.first_rest_s
                if not self._replicas:
                    self._on_nothing(error)
            else:
                self._rng.shuffle(found)
                self._keep(list(dict.fromkeys(found)))
                self._on_replicas()
                wait_s = spread.renew_s
            self._located.set()
            await asyncio.sleep(wait_s * self._rng.uniform(1.0 - spread.jitter, 1.0))


def _rest(replica: Replica) -> float:
    return replica.rests_until
