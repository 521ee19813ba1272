"""Clients that send far more frames than calls: each costs its own connection at most, and nobody else anything."""

import asyncio
import struct

import grpc
import hpack
import pytest

from tests.end_to_end.faults.messages import GOOD_INFER, INFER
from tests.end_to_end.faults.raw_h2 import prefixed
from tests.support.invariants import World
from tests.support.raw_http2 import (
    ACK,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    Kind,
    RawConnection,
    call_headers,
    connected,
    deaf,
    frame,
    reset,
)
from tests.support.running_clock import running_clock

HEADERS = call_headers(INFER)
MIB = 1 << 20
SECONDS = 2.0
CALMLY_PER_S = 3000  # what the catalogue calls a rapid reset
STREAMS = 100  # in one write
SETTINGS = frame(Kind.SETTINGS, struct.pack(">HI", 4, 65_535))


async def test_a_flood_of_pings(world: World):
    """Row 37: told to calm down, and closed; pings with calls between them are no flood."""
    async with world.standing(), connected(world.server.grpc_port) as connection:
        await connection.greet()
        await connection.send(frame(Kind.PING, b"12345678") * 10)
        await connection.ended()
    assert connection.goaway == (ENHANCE_YOUR_CALM, "too_many_pings")


@pytest.mark.parametrize("whole", [True, False], ids=["whole calls", "headers alone"])
async def test_streams_that_are_reset_at_once(world: World, *, whole: bool):
    """Row 38: over 3000 a second for two seconds; few become calls, and those that do are counted and end."""
    async with world.standing():
        before = await world.scrape()
        async with connected(world.server.grpc_port) as connection:
            await connection.greet()
            clock = running_clock()
            began, streams = clock.now(), 0
            while clock.now() - began < SECONDS:
                await connection.send(b"".join(_begun_and_reset(streams + n, whole=whole) for n in range(STREAMS)))
                streams += STREAMS
                # Twice as fast, and no faster than anybody's machine.
                await asyncio.sleep(STREAMS / CALMLY_PER_S / 2)
            rate = streams / (clock.now() - began)
        world.count(grpc.StatusCode.CANCELLED, streams)
        counted = (await world.scrape()).total("serinus_requests_total") - before.total("serinus_requests_total")
    assert rate >= CALMLY_PER_S
    assert counted < streams


def _begun_and_reset(number: int, *, whole: bool) -> bytes:
    stream = 2 * number + 1
    body = frame(Kind.DATA, prefixed(GOOD_INFER), flags=END_STREAM, stream=stream) if whole else b""
    return frame(Kind.HEADERS, HEADERS, flags=END_HEADERS, stream=stream) + body + reset(stream)


async def test_headers_that_go_on_and_on(world: World):
    """Row 39: their stream is refused; what still comes of them is dropped as it comes, and memory stays as it is."""
    long = frame(Kind.CONTINUATION, b"\0\1x\x7f\x80\x01" + b"v" * 255, stream=1) * 10_000  # 2.6 MB
    async with world.standing(), connected(world.server.grpc_port) as connection:
        before = (await world.server.look()).rss_bytes
        await connection.greet()
        await connection.send(frame(Kind.HEADERS, HEADERS, stream=1))
        for _ in range(100):
            await connection.send(long)
        await connection.until(Kind.RST_STREAM, 1)
        assert (await world.server.look()).rss_bytes - before < 128 * MIB, "262 MB came, in buffers of some MiB"


@pytest.mark.parametrize("content", [b"", b"\xff"], ids=["empty", "no headers"])
async def test_headers_that_go_on_with_nothing(world: World, content: bytes):
    """Row 39: CONTINUATION frames that bring nothing, or nothing that can be read, end the connection."""
    async with world.standing(), connected(world.server.grpc_port) as connection:
        await connection.greet()
        await connection.send(frame(Kind.HEADERS, HEADERS, stream=1))
        await connection.send(frame(Kind.CONTINUATION, content, stream=1) * 10_000)
        await connection.ended()


async def test_headers_that_unpack_to_much_more(world: World):
    """Row 39: 16 KiB on the wire that stand for 40 MiB; each such stream is refused, and memory never sees them."""
    kept = hpack.Encoder().encode([("x-big", "v" * 3900)], huffman=False)
    again = b"\xbe"  # the newest entry of the table
    block = (HEADERS + kept + again * 16_384)[:16_384]
    async with world.standing(), connected(world.server.grpc_port) as connection:
        before = (await world.server.look()).rss_bytes
        await connection.greet()
        for number in range(20):
            await connection.send(frame(Kind.HEADERS, block, flags=END_HEADERS | END_STREAM, stream=2 * number + 1))
        await connection.until(Kind.RST_STREAM, 20)
        assert (await world.server.look()).rss_bytes - before < 32 * MIB


async def test_a_flood_of_settings(world: World):
    """Row 39: grpc core answers each and goes on; what it has not been able to answer, it stops reading."""
    async with world.standing():
        async with connected(world.server.grpc_port) as connection:
            await connection.greet()
            for _ in range(200):
                await connection.send(SETTINGS * 100)
            await connection.until(Kind.SETTINGS, 20_000)
        before = (await world.server.look()).rss_bytes
        async with deaf(world.server.grpc_port) as connection:
            await connection.greet()
            with pytest.raises(TimeoutError):
                await _send_settings(connection)
            assert (await world.server.look()).rss_bytes - before < 16 * MIB


async def _send_settings(connection: RawConnection) -> None:
    for _ in range(2000):
        await connection.send(SETTINGS * 1000, longest_s=0.5)


NONSENSE = {
    "data of no stream": frame(Kind.DATA, b"x"),
    "data of a stream that never was": frame(Kind.DATA, b"x", stream=99) * 100,
    "headers of no stream": frame(Kind.HEADERS, HEADERS, flags=END_HEADERS),
    "settings of a stream": frame(Kind.SETTINGS, stream=1),
    "settings of five bytes": frame(Kind.SETTINGS, b"12345"),
    "a ping of one byte": frame(Kind.PING, b"1"),
    "a frame of 16 MiB": struct.pack(">I", (1 << 24) - 1)[1:] + struct.pack(">BBI", Kind.DATA, 0, 1) + b"x" * 100_000,
    "a continuation of nothing": frame(Kind.CONTINUATION, HEADERS, flags=END_HEADERS, stream=1),
    "headers that are no headers": frame(Kind.HEADERS, b"\xff" * 100, flags=END_HEADERS, stream=1),
    "answers to settings nobody sent": frame(Kind.SETTINGS, flags=ACK) * 1000,
    "frames of unknown kinds": frame(200, b"x" * 100, stream=1) * 1000,  # type: ignore[arg-type]  # that is the point
}


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
async def test_frames_that_make_no_sense(world: World, said: bytes):
    """Row 39: whatever becomes of their connection, it becomes of no other."""
    async with world.standing(), connected(world.server.grpc_port) as connection:
        await connection.greet()
        for _ in range(10):
            await connection.send(said)
        await _is_answered_or_over(connection)


async def _is_answered_or_over(connection: RawConnection) -> None:
    """Wait for the answer to a ping, or the end."""
    answered = asyncio.create_task(connection.until(Kind.PING, 2))  # the server may send one of its own
    await connection.send(frame(Kind.PING, b"12345678") * 2)
    over = asyncio.create_task(connection.ended())
    done, late = await asyncio.wait({answered, over}, return_when=asyncio.FIRST_COMPLETED)
    for task in late:
        task.cancel()
    assert [task.exception() for task in done] == [None] * len(done)
