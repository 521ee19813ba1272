"""One gRPC channel: bytes in, bytes out, and every failure a `SerinusError`. Little else here speaks grpc.aio."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from typing import Any

import grpc
import grpc.aio

from serinus_client.errors import DeadlineExceeded, client_closed, from_rpc_error
from serinus_client.options import Metadata, channel_options
from serinus_client.sending import Ending, send_all

Rpc = grpc.aio.StreamStreamCall[bytes, bytes]


class Connection:
    """A channel to one target. Made inside the event loop that uses it; ended by `close`.

    Args:
        target: "host:port".
        credentials: Of an encrypted channel; None for plaintext.
        server_name: The name to expect in the server's certificate; "" for the target's host.
        metadata: Sent with every unary call and every stream.

    Attributes:
        is_idle: Set while no call is under way; a stream is one.
    """

    def __init__(
        self, target: str, *, credentials: grpc.ChannelCredentials | None, server_name: str, metadata: Metadata
    ) -> None:
        options = channel_options(server_name)
        self.target = target
        self._metadata = metadata
        self._channel = (
            grpc.aio.insecure_channel(target, options=options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options=options)
        )
        self._unary: dict[str, Any] = {}
        self._is_closed = False
        self._calls = 0
        self.is_idle = asyncio.Event()
        self.is_idle.set()

    async def unary(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Make one call.

        Raises:
            SerinusError: it ended without an answer.
        """
        self._check_open(timeout_s)
        callable_ = self._unary.get(method)
        if callable_ is None:
            # Without serializers messages pass as bytes, so that a broken one raises here and not inside grpc.
            callable_ = self._unary[method] = self._channel.unary_unary(method)
        try:
            with self._busy():
                response: bytes = await callable_(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except asyncio.CancelledError:
            self._check_who_cancelled()
            raise
        return response

    def stream(self, method: str) -> Rpc:
        """Begin a bidirectional stream that lasts until one side ends it."""
        begin: Any = self._channel.stream_stream(method)
        rpc: Rpc = begin(metadata=self._metadata)
        self._begin()
        rpc.add_done_callback(self._end)
        return rpc

    async def upload(self, method: str, messages: AsyncIterable[bytes], *, timeout_s: float) -> bytes:
        """Send a stream of messages, each when there is room for it, and return the one answer.

        Raises:
            SerinusError: it ended without an answer. What `messages` raises ends the call and passes.
        """
        self._check_open(timeout_s)
        begin: Any = self._channel.stream_unary(method)
        call: Any = begin(timeout=timeout_s, metadata=self._metadata)
        ending = Ending(call)
        try:
            with self._busy():
                await send_all(call, messages)
                response: bytes = await call
        except grpc.aio.AioRpcError as error:
            raise await ending.meaning(error) from None
        except asyncio.CancelledError:
            self._check_who_cancelled()
            raise
        finally:
            call.cancel()  # nothing, unless it is being left early
        return response

    async def download(self, method: str, request: bytes, *, timeout_s: float | None) -> AsyncGenerator[bytes, None]:
        """Make one call and yield its answers as they come; None waits for them for ever.

        Raises:
            SerinusError: it ended before its end.
        """
        self._check_open(timeout_s)
        begin: Any = self._channel.unary_stream(method)
        call: Any = begin(request, timeout=timeout_s, metadata=self._metadata)
        try:
            with self._busy():
                async for message in call:
                    yield message
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except asyncio.CancelledError:
            self._check_who_cancelled()
            raise
        finally:
            call.cancel()

    def _begin(self) -> None:
        self._calls += 1
        self.is_idle.clear()

    def _end(self, _call: object = None) -> None:
        self._calls -= 1
        if not self._calls:
            self.is_idle.set()

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        self._begin()
        try:
            yield
        finally:
            self._end()

    def _check_open(self, timeout_s: float | None) -> None:
        if timeout_s is not None and timeout_s <= 0:
            raise DeadlineExceeded("the time was up before the call was sent")
        if self._is_closed:
            raise client_closed()

    def _check_who_cancelled(self) -> None:
        # Two cases look alike: 1. the caller was cancelled; 2. `close` cancelled the call, not the caller.
        task = asyncio.current_task()
        if self._is_closed and task is not None and not task.cancelling():
            raise client_closed() from None

    async def leave(self) -> None:
        """Close once the calls that are under way have ended; the caller sees to it that none begins."""
        await self.is_idle.wait()
        await self.close()

    async def close(self) -> None:
        """End all calls and the channel. Once is enough; twice is harmless."""
        self._is_closed = True
        await self._channel.close()
