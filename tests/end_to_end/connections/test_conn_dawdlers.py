"""Connections that say nothing, or too little, or too slowly: each ends by a clock of the server's."""

import asyncio
import contextlib

from tests.end_to_end.faults.messages import GOOD_INFER, INFER
from tests.end_to_end.faults.raw_h2 import prefixed
from tests.support.invariants import World
from tests.support.raw_http2 import (
    ACK,
    END_HEADERS,
    END_STREAM,
    PREFACE,
    Kind,
    RawConnection,
    call_headers,
    frame,
    many_begun,
    many_connected,
)

MANY = 100
KIB = 1 << 10
NO_SETTINGS = (2, "Did not receive HTTP/2 settings before handshake timeout")
OPENED = frame(Kind.HEADERS, call_headers(INFER), flags=END_HEADERS, stream=1)
MOMENT_S = 0.3

GREETING = PREFACE + frame(Kind.SETTINGS)
GREETED = GREETING + frame(Kind.SETTINGS, flags=ACK)
UNENDED = frame(Kind.HEADERS, call_headers(INFER), stream=1)
IDLE = (2, "connection idle")
UNHEARD = (4, "settings_timeout")

BEGINNINGS = {
    "nothing": (b"", NO_SETTINGS),
    "half of the preface": (PREFACE[:10], NO_SETTINGS),
    "a preface without settings": (PREFACE, NO_SETTINGS),
    "a greeting that is not gone on with": (GREETING, UNHEARD),
    "half of the headers at once": (GREETING + OPENED[:30], UNHEARD),
    "a greeting and no call": (GREETED, IDLE),
    "half of the headers": (GREETED + OPENED[:30], IDLE),
    "headers that do not end": (GREETED + UNENDED, IDLE),
}


async def test_connections_that_never_become_calls(impatient: World):
    """Rows 35, 36: two hundred are told why, and closed, while others are answered; their files come back."""
    said = [(beginning, goaway) for beginning, goaway in BEGINNINGS.values() for _ in range(MANY // 4)]
    beginnings = [beginning for beginning, _ in said]
    async with impatient.standing(), many_begun(impatient.server.grpc_port, beginnings) as connections:
        await asyncio.gather(*(connection.ended() for connection in connections))
    for connection, (beginning, goaway) in zip(connections, said, strict=True):
        # Two clocks run equally long for those who have not even greeted; either may end them.
        allowed = {NO_SETTINGS, UNHEARD} if goaway == NO_SETTINGS else {goaway}
        assert connection.goaway in allowed, beginning


async def test_a_call_that_comes_byte_by_byte_ends_at_its_deadline(impatient: World):
    """Row 35: grpc core ends it, whatever has come; no model has heard of it."""
    headers = frame(Kind.HEADERS, call_headers(INFER, ("grpc-timeout", "500m")), flags=END_HEADERS, stream=1)
    async with impatient.standing(), many_begun(impatient.server.grpc_port, [GREETED + headers] * MANY) as connections:
        await asyncio.gather(*(_dawdle(connection) for connection in connections))
        for connection in connections:
            assert connection.heard[Kind.RST_STREAM] or connection.goaway is not None, connection.heard


async def test_calls_that_never_come_whole_end_with_their_connection(impatient: World):
    """Row 35: without a deadline, which only their callers could set, the age of connections is what ends them.

    Every other one says that it is over before it has sent a message; grpc.aio never answers it.
    """
    over = frame(Kind.HEADERS, call_headers(INFER), flags=END_HEADERS | END_STREAM, stream=1)
    said = [GREETED + OPENED, GREETED + over] * (MANY // 2)
    async with impatient.standing(), many_begun(impatient.server.grpc_port, said) as connections:
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
    # The neighbour calls all the while: its call is some tasks, and may have opened a file of the database.
    assert 400 - 3 <= during.fds - before.fds <= 400 + 3
    assert during.tasks - before.tasks < 10
    assert during.rss_bytes - before.rss_bytes < 400 * 64 * KIB
