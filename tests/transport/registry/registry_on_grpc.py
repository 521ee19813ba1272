"""RegistryService on a real port, over a registry in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from serinus.transport.calls import Calls
from serinus.transport.deadlines import Budgets
from serinus.transport.drain import Drain
from serinus.transport.registry.ports import RegistryParts
from serinus.transport.registry.service import RegistryService
from serinus_api.v1 import registry_pb2 as pb
from tests.transport.registry.registry_fakes import (
    FakeArtifacts,
    FakePlacements,
    FakeQuantizer,
    FakeRegistry,
    FakeUploads,
)

OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


class Registry:
    """The service, what is behind it, and a client of it."""

    def __init__(self, *, budget_s: float = 60.0, stall_s: float = 30.0) -> None:
        self.registry = FakeRegistry()
        self.uploads = FakeUploads()
        self.artifacts = FakeArtifacts()
        self.quantizer = FakeQuantizer()
        self.drain = Drain()
        parts = RegistryParts(
            reads=self.registry,
            writes=self.registry,
            audit=self.registry,
            uploads=self.uploads,
            artifacts=self.artifacts,
            changes=self.registry,
            placements=FakePlacements(),
            quantizations=self.quantizer,
        )
        calls = Calls(self.drain, Budgets(default_s=budget_s))
        self.service = RegistryService(parts, calls=calls, max_inputs=4, stall_s=stall_s)
        self.channel: grpc.aio.Channel

    async def call(self, method: str, asked: Any, **options: Any) -> Any:
        """The answer to a method with one."""
        return await self._method(self.channel.unary_unary, method)(asked, **options)

    def stream(self, method: str, asked: Any) -> Any:
        """A call with a stream of answers."""
        return self._method(self.channel.unary_stream, method)(asked)

    def upload(self) -> Any:
        """A registration to write to."""
        return self._method(self.channel.stream_unary, "RegisterModel")()

    def _method(self, kind: Any, method: str) -> Any:
        return kind(
            f"/serinus.v1.RegistryService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(pb, f"{method}Response").FromString,
        )


@contextlib.asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Registry]:
    """The service and a client; no task is left behind."""
    before = asyncio.all_tasks()
    made = Registry(**options)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 16 << 20)])
    server.add_generic_rpc_handlers((made.service.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as made.channel:
            yield made
    finally:
        await server.stop(None)
    async with asyncio.timeout(20):
        while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
            await asyncio.wait(left)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    """Code and sentence of a call that must fail."""
    error = await _error(call)
    return error.code(), error.details() or ""


async def refused_field(call: Any) -> tuple[str, str]:
    """Reason and field of a call that must fail."""
    status = status_pb2.Status.FromString(
        dict((await _error(call)).trailing_metadata())["grpc-status-details-bin"]  # type: ignore[arg-type]  # bytes, by its name
    )
    info, violation = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status.details[0].Unpack(info)
    if len(status.details) > 1:
        status.details[1].Unpack(violation)
    return info.reason, violation.field_violations[0].field if violation.field_violations else ""


async def _error(call: Any) -> grpc.aio.AioRpcError:
    try:
        if hasattr(call, "read"):
            while await call.read() is not grpc.aio.EOF:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("expected it to fail")
