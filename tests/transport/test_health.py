"""Watches of the health service, whose clients may be gone."""

import asyncio
from typing import NamedTuple

import grpc.aio
from grpc_health.v1 import health_pb2

from serinus.transport.drain import Drain
from serinus.transport.health import NAME, Health
from tests.transport.fake_context import FakeContext

Response = health_pb2.HealthCheckResponse


class Call(NamedTuple):
    """What grpc asks a service's handlers for."""

    method: str
    invocation_metadata: tuple[tuple[str, str], ...]


def watch(health: Health, context: FakeContext) -> asyncio.Task[object]:
    behaviour = health.handler().service(Call(f"/{NAME}/Watch", ())).unary_stream
    asked = health_pb2.HealthCheckRequest(service="").SerializeToString()
    return asyncio.ensure_future(behaviour(asked, context))


async def test_each_change_is_written_until_the_drain_begins():
    """Then the watch ends by itself."""
    drain, context = Drain(), FakeContext()
    health = Health([], drain)
    watching = watch(health, context)
    await context.until_written(1)
    health.say(serving=True)
    await context.until_written(2)
    drain.begin()
    await watching
    statuses = [Response.FromString(message).status for message in context.written]
    assert statuses == [Response.NOT_SERVING, Response.SERVING]
    assert context.aborted == []


async def test_a_watcher_that_is_gone_is_no_error():
    """The watch waits to be cancelled, as grpc.aio does then; it neither aborts nor logs."""
    context = FakeContext()
    context.broken = grpc.aio.InternalError("gone")
    watching = watch(Health([], Drain()), context)
    await context.tried.wait()
    for _ in range(10):  # turns of the loop, enough for a failure to come out
        await asyncio.sleep(0)
    assert (watching.done(), context.aborted) == (False, [])
    watching.cancel()
    await asyncio.wait((watching,))
    assert (watching.cancelled(), context.aborted) == (True, [])
