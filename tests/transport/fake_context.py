"""The RPC's context as a handler sees it, by hand: what a client sends, and what the server answers."""

import asyncio
from collections.abc import Sequence

import grpc
import grpc.aio


class FakeContext:
    """One RPC.

    Attributes:
        introduced: The metadata that the handler sent before any message, or None.
        written: The messages that the handler wrote, in order.
        window: While it is not set, writes wait, as they do for a client that does not read.
        reading: Set while the handler waits for a message.
        reads: Messages that were taken.
        broken: Raised by the next write.
        tried: Set when it was raised.
    """

    def __init__(self, *, remaining_s: float | None = None, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self.introduced: tuple[tuple[str, str], ...] | None = None
        self.written: list[bytes] = []
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailers: tuple[tuple[str, str | bytes], ...] = ()
        self.window = asyncio.Event()
        self.window.set()
        self.reading = asyncio.Event()
        self.reads = 0
        self.broken: Exception | None = None
        self.tried = asyncio.Event()
        self._sent: asyncio.Queue[object] = asyncio.Queue()
        self._wrote = asyncio.Event()
        self._remaining_s = remaining_s
        self._metadata = metadata

    # The client's side.

    def send(self, *messages: bytes) -> None:
        """Messages arrive."""
        for message in messages:
            self._sent.put_nowait(message)

    def close(self) -> None:
        """The client has no more messages."""
        self._sent.put_nowait(grpc.aio.EOF)

    async def until_written(self, messages: int) -> None:
        """Wait until the handler wrote so many."""
        while len(self.written) < messages:
            self._wrote.clear()
            await self._wrote.wait()

    # The handler's side.

    async def read(self) -> object:
        self.reading.set()
        try:
            message = await self._sent.get()
        finally:
            self.reading.clear()
        self.reads += 1
        return message

    async def send_initial_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        assert self.introduced is None
        assert not self.written
        self.introduced = metadata

    async def write(self, message: bytes) -> None:
        await self.window.wait()
        if self.broken is not None:
            self.tried.set()
            raise self.broken
        self.written.append(message)
        self._wrote.set()

    @property
    def aborted(self) -> list[tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]]:
        """Code, message and trailers with which the handler ended the call, if it did so with a status."""
        return [] if self._code is None else [(self._code, self._details, self._trailers)]

    def set_code(self, code: grpc.StatusCode) -> None:
        assert self._code is None
        self._code = code

    def set_details(self, details: str) -> None:
        self._details = details

    def set_trailing_metadata(self, trailing_metadata: tuple[tuple[str, str | bytes], ...]) -> None:
        self._trailers = trailing_metadata

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50312"

    def time_remaining(self) -> float | None:
        return self._remaining_s

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self._metadata
