"""HTTP/2 frame by frame, for what no library would send."""

import asyncio
import collections
import contextlib
import enum
import struct
from collections.abc import AsyncIterator, Sequence

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD_BYTES = 9
_LONGEST_S = 30.0


class Kind(enum.IntEnum):
    """Types of frames (RFC 9113, 6)."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    CONTINUATION = 9


END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL, ENHANCE_YOUR_CALM = 8, 11


def frame(kind: Kind, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """A frame, whether it makes sense or not."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def reset(stream: int) -> bytes:
    """The end of a stream whose caller has gone away."""
    return frame(Kind.RST_STREAM, struct.pack(">I", CANCEL), stream=stream)


def call_headers(path: str, *more: tuple[str, str]) -> bytes:
    """The header block of a call; it indexes nothing, so that it may be sent again and again."""
    usual = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")]
    headers = [*usual, ("content-type", "application/grpc"), ("te", "trailers"), *more]
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode(headers)[1:]  # without the change of the table's size, which only a first block may have


class RawConnection:
    """A connection that says whatever it is told to.

    Attributes:
        heard: How many frames of each kind have come.
        goaway: Code and words of the last GOAWAY; None until one has come.
        over: Set once the server has ended the connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard: collections.Counter[int] = collections.Counter()
        self.goaway: tuple[int, str] | None = None
        self.over = asyncio.Event()
        self._has_come = asyncio.Event()
        self._reader = reader
        self._writer = writer

    async def send(self, content: bytes, *, longest_s: float = _LONGEST_S) -> None:
        """Write, as fast as the server reads; what comes after the end of the connection is lost in silence.

        Raises:
            TimeoutError: the server has not read for so long.
        """
        if self.over.is_set():
            return
        self._writer.write(content)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(self._writer.drain(), longest_s)

    async def greet(self) -> None:
        """Say what every client says first, and that the server's settings have come."""
        await self.send(PREFACE + frame(Kind.SETTINGS) + frame(Kind.SETTINGS, flags=ACK))

    async def until(self, kind: Kind, count: int) -> None:
        """Wait until so many frames of a kind have come; TimeoutError if they do not."""
        async with asyncio.timeout(_LONGEST_S):
            while self.heard[kind] < count:
                self._has_come.clear()
                await self._has_come.wait()

    async def ended(self) -> None:
        """Wait until the server ends the connection; TimeoutError if it does not."""
        await asyncio.wait_for(self.over.wait(), _LONGEST_S)

    async def read(self) -> None:
        """Note what comes until the connection ends."""
        try:
            while True:
                head = await self._reader.readexactly(_HEAD_BYTES)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                self.heard[head[3]] += 1
                self._has_come.set()
                if head[3] == Kind.GOAWAY:
                    self.goaway = int.from_bytes(payload[4:8], "big"), payload[8:].decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.over.set()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawConnection]:
    """A TCP connection on which nothing has been said yet."""
    async with deaf(port) as connection:
        reading = asyncio.create_task(connection.read())
        try:
            yield connection
        finally:
            reading.cancel()
            await asyncio.wait((reading,))


@contextlib.asynccontextmanager
async def deaf(port: int) -> AsyncIterator[RawConnection]:
    """The same without anybody who reads what comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def many_connected(port: int, count: int) -> AsyncIterator[Sequence[RawConnection]]:
    """So many connections."""
    async with contextlib.AsyncExitStack() as block:
        yield [await block.enter_async_context(connected(port)) for _ in range(count)]


@contextlib.asynccontextmanager
async def many_begun(port: int, said: Sequence[bytes]) -> AsyncIterator[Sequence[RawConnection]]:
    """One connection for each of these beginnings, which is sent at once: a server gives none of them much time."""
    async with contextlib.AsyncExitStack() as block:
        connections = []
        for beginning in said:
            connections.append(await block.enter_async_context(connected(port)))
            await connections[-1].send(beginning)
        yield connections
