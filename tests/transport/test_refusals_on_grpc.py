"""A refusal as a real client gets it: a status, when to come back, and no message."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from serinus.core.errors import Overloaded
from serinus.transport.guard import Context, welcome
from serinus.transport.service import service

REFUSED = Overloaded("the queue is full", reason="QUEUE_FULL", retry_after_s=1.25)


async def refuse(_message: bytes, _context: Context) -> bytes:
    raise REFUSED


async def refuse_stream(context: Context) -> None:
    await context.read()
    raise REFUSED


@pytest.mark.parametrize("way", ["Unary", "Stream"])
async def test_a_client_hears_when_to_come_back(way: str):
    """In words for people, in details for programs, and in the metadata that gRPC's own retries obey."""
    server = grpc.aio.server()
    handler = service("test.Service", unary={"Unary": refuse}, streams={"Stream": refuse_stream}, arrive=welcome)
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(20):
        call: Any
        if way == "Unary":
            call = channel.unary_unary("/test.Service/Unary")(b"")
        else:
            call = channel.stream_stream("/test.Service/Stream")()
            await call.write(b"")
            with pytest.raises(grpc.aio.AioRpcError):
                await call.read()
        assert (await call.code(), await call.details()) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "QUEUE_FULL: the queue is full",
        )
        trailers = dict(await call.trailing_metadata())
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        for packed in status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details:
            assert packed.Unpack(info) or packed.Unpack(retry)
        assert (info.reason, retry.retry_delay.ToMilliseconds()) == ("QUEUE_FULL", 1250)
        assert trailers["grpc-retry-pushback-ms"] == "1250"
    await server.stop(None)
