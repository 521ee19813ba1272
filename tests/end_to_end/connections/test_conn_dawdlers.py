"""Connections that say nothing, or too little, or too slowly: each ends by a clock of the server's."""

import asyncio
import contextlib

import pytest

from tests.end_to_end.faults.messages import GOOD_INFER, INFER
from tests.end_to_end.faults.raw_h2 import prefixed
from tests.support.invariants import World
from tests.support.raw_http2 import (
    END_HEADERS,
    END_STREAM,
    PREFACE,
    Kind,
    RawConnection,
    call_headers,
    frame,
    many_connected,
)

MANY = 100
KIB = 1 << 10
NO_SETTINGS = "Did not receive HTTP/2 settings before handshake timeout"
OPENED = frame(Kind.HEADERS, call_headers(INFER), flags=END_HEADERS, stream=1)
MOMENT_S = 0.3

BEGINNINGS = {
    "nothing": (b"", NO_SETTINGS),
    "half of the preface": (PREFACE[:10], NO_SETTINGS),
    "a preface without settings": (PREFACE, NO_SETTINGS),
    "a greeting and no call": (PREFACE + frame(Kind.SETTINGS), "connection idle"),
    "half of the headers": (PREFACE + frame(Kind.SETTINGS) + OPENED[:30], "connection idle"),
    "headers that do not end": (
        PREFACE + frame(Kind.SETTINGS) + frame(Kind.HEADERS, call_headers(INFER), stream=1),
        "connection idle",
    ),
}


@pytest.mark.parametrize(("said", "words"), BEGINNINGS.values(), ids=BEGINNINGS)
async def test_connections_that_never_become_calls(impatient: World, said: bytes, words: str):
    """Rows 35, 36: a hundred at once are told why, and closed, while others are answered; their files come back."""
    async with impatient.standing(), many_connected(impatient.server.grpc_port, MANY) as connections:
        for connection in connections:
            await connection.send(said)
        await asyncio.gather(*(connection.ended() for connection in connections))
        # The last words of a connection are lost if what it sent was still unread.
        goaways = {connection.goaway for connection in connections} - {None}
    assert goaways == {(2, words)}


async def test_a_call_that_comes_byte_by_byte_ends_at_its_deadline(impatient: World):
    """Row 35: grpc core ends it, whatever has come; no model has heard of it."""
    headers = call_headers(INFER, ("grpc-timeout", "500m"))
    async with impatient.standing(), many_connected(impatient.server.grpc_port, MANY) as connections:
        for connection in connections:
            await connection.greet()
            await connection.send(frame(Kind.HEADERS, headers, flags=END_HEADERS, stream=1))
        await asyncio.gather(*(_dawdle(connection) for connection in connections))
        for connection in connections:
            assert connection.heard[Kind.RST_STREAM] or connection.goaway is not None, connection.heard


async def test_calls_that_never_come_whole_end_with_their_connection(impatient: World):
    """Row 35: without a deadline, which only their callers could set, the age of connections is what ends them.

    Every other one says that it is over before it has sent a message; grpc.aio never answers it.
    """
    async with impatient.standing(), many_connected(impatient.server.grpc_port, MANY) as connections:
        for connection in connections:
            await connection.greet()
        for connection in connections[::2]:
            await connection.send(OPENED)
        for connection in connections[1::2]:
            await connection.send(frame(Kind.HEADERS, call_headers(INFER), flags=END_HEADERS | END_STREAM, stream=1))
        await asyncio.gather(*(_dawdle(connection) for connection in connections[::2]))
        await asyncio.gather(*(connection.ended() for connection in connections))
    assert {connection.goaway for connection in connections} == {(2, "max connection age")}


async def _dawdle(connection: RawConnection) -> None:
    """Send the beginning of a message, a byte at a time."""
    for byte in prefixed(GOOD_INFER)[:10]:
        await connection.send(frame(Kind.DATA, bytes([byte]), stream=1))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(connection.over.wait(), MOMENT_S)


async def test_idle_connections_cost_little(world: World):
    """Row 36: 400 of them are open at once; each takes a file and some memory, and no task."""
    async with world.standing():
        before = await world.server.look()
        async with many_connected(world.server.grpc_port, 400) as connections:
            for connection in connections:
                await connection.greet()
            for connection in connections:
                await connection.until(Kind.SETTINGS, 2)  # the server's own, and that it knows ours
            during = await world.server.look()
    assert (during.fds - before.fds, during.tasks) == (400, before.tasks)
    assert during.rss_bytes - before.rss_bytes < 400 * 64 * KIB
