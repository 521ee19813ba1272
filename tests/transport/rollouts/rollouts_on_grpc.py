"""The methods of AdminService about rollouts and splits on a real port, and a client."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from serinus.transport.calls import Calls
from serinus.transport.deadlines import Budgets
from serinus.transport.drain import Drain
from serinus.transport.guard import welcome
from serinus.transport.rollouts.controls import RolloutControls
from serinus.transport.service import service
from serinus.transport.traffic.controls import TrafficControls
from serinus_api.v1 import admin_pb2 as pb
from tests.transport.rollouts.rollout_fakes import FakeRollouts, FakeTraffic

NAME = "serinus.v1.AdminService"


class Operated:
    """The methods, what is behind them, and a client."""

    def __init__(self) -> None:
        self.rollouts = FakeRollouts()
        self.traffic = FakeTraffic()
        self.drain = Drain()
        calls = Calls(self.drain, Budgets())
        rollouts = RolloutControls(self.rollouts, calls)
        traffic = TrafficControls(self.traffic, calls)
        unary = {**rollouts.unary(), **traffic.unary()}
        self.handler = service(NAME, unary=unary, answers=rollouts.answers(), arrive=welcome)
        self.channel: grpc.aio.Channel

    async def call(self, method: str, asked: Any) -> Any:
        """The answer to a method with one."""
        return await self._method(self.channel.unary_unary, method)(asked)

    def watch(self, asked: pb.WatchRolloutRequest) -> Any:
        """A watch to read from."""
        return self._method(self.channel.unary_stream, "WatchRollout")(asked)

    def _method(self, kind: Any, method: str) -> Any:
        return kind(
            f"/{NAME}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(pb, f"{method}Response").FromString,
        )


@contextlib.asynccontextmanager
async def operating() -> AsyncIterator[Operated]:
    """The service and a client."""
    made = Operated()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((made.handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as made.channel:
            yield made
    finally:
        await server.stop(None)
