"""grpc.health.v1.Health: whether calls are welcome, asked once or watched.

Our own, because grpcio-health-checking's asynchronous watch forgets the other watchers when one leaves, and none of its
watches ends when the server drains.
"""

import asyncio
from collections.abc import Iterable

import grpc
from grpc_health.v1 import health_pb2

from serinus.core.errors import NotFound
from serinus.transport.drain import Drain
from serinus.transport.guard import Context, welcome, write
from serinus.transport.service import parse, service, typed

NAME = "grpc.health.v1.Health"

_Response = health_pb2.HealthCheckResponse


class Health:
    """One answer for the whole server: all of its services come and go together.

    Attributes:
        names: The services that can be asked for; "" is the server as a whole.
        drain: Ends the watches.
    """

    def __init__(self, names: Iterable[str], drain: Drain) -> None:
        self._names = frozenset(("", NAME, *names))
        self._drain = drain
        self._is_serving = False
        self._changed = asyncio.Event()

    def say(self, *, serving: bool) -> None:
        """Change the answer, and tell who watches."""
        self._is_serving = serving
        self._changed.set()
        self._changed = asyncio.Event()

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server registers. It answers while the server drains: that is when the answer matters."""
        check = typed(health_pb2.HealthCheckRequest, self._check)
        return service(NAME, unary={"Check": check}, answers={"Watch": self._watch}, arrive=welcome)

    def _answer(self, service: str) -> health_pb2.HealthCheckResponse:
        if service not in self._names:
            return _Response(status=_Response.SERVICE_UNKNOWN)
        return _Response(status=_Response.SERVING if self._is_serving else _Response.NOT_SERVING)

    def _check(self, asked: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:
        if asked.service not in self._names:
            raise NotFound(f"service {asked.service[:64]!r}: expected one of {sorted(self._names)}", field="service")
        return self._answer(asked.service)

    async def _watch(self, message: bytes, context: Context) -> None:
        """Write the answer now and whenever it changes, until the drain begins."""
        asked = parse(health_pb2.HealthCheckRequest, message)
        await self._drain.run(self._write_changes(asked.service, context))

    async def _write_changes(self, service: str, context: Context) -> None:
        while True:
            changed = self._changed
            await write(context, self._answer(service).SerializeToString())
            await changed.wait()
