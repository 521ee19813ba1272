"""Calls over one ModelStreamInfer stream: each message gets an id, answers find their calls by it."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from open_inference import grpc_service_pb2 as oip
from serinus.bench.calls import RefusedCall

_METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"


class OipStream:
    """A stream while its block lasts, and the `Call` that uses it.

    Servers answer errors with a message and, at best, the id; one without an id belongs to the oldest open call, for
    servers that answer in order.

    Args:
        channel: Where it begins.
        messages: ModelInferRequests without ids; call i sends `messages[i % len(messages)]`.
    """

    def __init__(self, channel: grpc.aio.Channel, messages: Sequence[bytes]) -> None:
        self._channel = channel
        self._messages = messages
        self._open: dict[str, asyncio.Future[None]] = {}
        self._next = 0
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        begin: Any = self._channel.stream_stream(_METHOD)
        self._rpc: Any = begin()
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.cancel()
        self._rpc.cancel()
        await asyncio.wait((self._reader,))

    async def __call__(self, number: int, timeout_s: float, /) -> int:
        """Make one call; its time is this side's alone, because a message of this protocol carries none."""
        self._next += 1
        name = str(self._next)
        answer = self._open[name] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                async with self._writing:  # a stream takes one write at a time
                    # Messages of one type join by concatenation: the id is a field of its own.
                    await self._rpc.write(self._messages[number % len(self._messages)] + _with_id(name))
                await answer
        finally:
            self._open.pop(name, None)
        return 0

    async def _read(self) -> None:
        ending: Exception = ConnectionError("the stream has ended")
        try:
            while isinstance(message := await self._rpc.read(), bytes):
                self._deliver(oip.ModelStreamInferResponse.FromString(message))
        except grpc.aio.AioRpcError as error:
            ending = error
        finally:
            for answer in self._open.values():
                if not answer.done():
                    answer.set_exception(ending)
            self._open.clear()

    def _deliver(self, message: oip.ModelStreamInferResponse) -> None:
        name = message.infer_response.id or next(iter(self._open), "")
        answer = self._open.pop(name, None)
        if answer is None or answer.done():  # its time was up
            return
        if message.error_message:
            answer.set_exception(RefusedCall(message.error_message))
        else:
            answer.set_result(None)


def _with_id(name: str) -> bytes:
    return oip.ModelInferRequest(id=name).SerializeToString()
