"""What two processes say to each other over a socket pair, and what becomes of it when one of them goes or raves."""

import asyncio
import contextlib
import json
import socket

import pytest

from serinus.core.errors import NotFound
from serinus.workers.control import MOST_BYTES, ChannelLost, ControlChannel, NotAnswered
from tests.support.virtual_loop import virtual

SOON_S = 60.0


async def double(body: dict) -> dict:
    return {"twice": body["number"] * 2}


@contextlib.asynccontextmanager
async def channels(left: dict, right: dict):
    """Both ends."""
    one, other = socket.socketpair()
    async with await ControlChannel.over(one, left) as first, await ControlChannel.over(other, right) as second:
        yield first, second


@contextlib.asynccontextmanager
async def channel_and_peer(handlers: dict):
    """One end, and the socket that speaks to it."""
    one, other = socket.socketpair()
    other.settimeout(SOON_S)
    with other:
        async with await ControlChannel.over(one, handlers) as channel:
            yield channel, other


def framed(text: bytes) -> bytes:
    return len(text).to_bytes(4, "big") + text


async def test_both_sides_ask_and_each_answer_finds_who_asked():
    """Forty requests at once, twenty from each side."""

    async def triple(body: dict) -> dict:
        return {"thrice": body["number"] * 3}

    async with channels({"double": double}, {"triple": triple}) as (left, right):
        answers = await asyncio.gather(
            *(right.request("double", {"number": n}, timeout_s=SOON_S) for n in range(20)),
            *(left.request("triple", {"number": n}, timeout_s=SOON_S) for n in range(20)),
        )
    assert answers == [{"twice": n * 2} for n in range(20)] + [{"thrice": n * 3} for n in range(20)]


async def test_a_channel_that_is_left_at_once_is_closed():
    """The process behind it was gone before anybody listened."""
    one, other = socket.socketpair()
    with other:
        async with await ControlChannel.over(one) as channel:
            pass
        other.setblocking(False)
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(other, 1), SOON_S) == b""
    assert channel.lost.is_set()


async def test_what_many_clients_have_asked_at_once_waits_for_its_turn():
    """A worker whose clients all want to know the status of all is no worker that has lost its mind."""
    most = open_ = 0
    gate = asyncio.Event()

    async def slow(_body: dict) -> dict:
        nonlocal most, open_
        open_ += 1
        most = max(most, open_)
        await gate.wait()
        open_ -= 1
        return {}

    async with channels({"slow": slow, "double": double}, {}) as (_, right):
        asked = [asyncio.create_task(right.request("slow", {}, timeout_s=SOON_S)) for _ in range(2000)]
        # Others are not held up.
        assert await right.request("double", {"number": 1}, timeout_s=SOON_S) == {"twice": 2}
        gate.set()
        assert await asyncio.gather(*asked) == [{}] * 2000
        assert not right.lost.is_set()
    assert most == 64


async def test_a_long_text_arrives_whole():
    """Metrics of many models: far more than a socket's buffer."""

    async def metrics(_body: dict) -> dict:
        return {"text": "é" * (4 << 20)}

    async with channels({}, {"metrics": metrics}) as (left, _):
        assert await left.request("metrics", {}, timeout_s=60) == {"text": "é" * (4 << 20)}


async def test_a_request_that_is_too_long_is_not_sent():
    """The channel goes on."""
    async with channels({}, {"double": double}) as (left, _):
        with pytest.raises(ValueError, match="at most"):
            await left.request("double", {"text": "x" * MOST_BYTES}, timeout_s=SOON_S)
        assert await left.request("double", {"number": 1}, timeout_s=SOON_S) == {"twice": 2}


async def broken(_body: dict) -> dict:
    raise KeyError("secret")


async def refusing(_body: dict) -> dict:
    raise NotFound("there is no model 'x'")


async def unencodable(_body: dict) -> dict:
    return {"bytes": b"x"}


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("broken", "failed: KeyError"),
        ("refusing", "there is no model 'x'"),
        ("unencodable", "failed: TypeError"),
        ("unheard of", "nobody here answers 'unheard of'"),
    ],
)
async def test_what_cannot_be_answered_harms_nobody(kind, sentence):
    """Who asked hears why, and the next one is answered."""
    handlers = {"broken": broken, "refusing": refusing, "unencodable": unencodable, "double": double}
    async with channels({}, handlers) as (left, _):
        with pytest.raises(NotAnswered) as caught:
            await left.request(kind, {}, timeout_s=SOON_S)
        assert str(caught.value) == sentence
        assert await left.request("double", {"number": 1}, timeout_s=SOON_S) == {"twice": 2}


async def test_a_handler_can_come_later():
    """What can answer is made after the channel."""
    async with channels({}, {}) as (left, right):
        right.answer("double", double)
        assert await left.request("double", {"number": 4}, timeout_s=SOON_S) == {"twice": 8}


async def test_who_waits_hears_that_the_other_side_is_gone():
    """At once, not when the time is over; and so does who asks later."""
    async with channel_and_peer({}) as (channel, peer):
        asked = asyncio.create_task(channel.request("double", {}, timeout_s=60))
        await asyncio.get_running_loop().run_in_executor(None, peer.recv, 4)
        peer.close()
        with pytest.raises(ChannelLost):
            await asked
        await channel.lost.wait()
        with pytest.raises(ChannelLost):
            await channel.request("double", {}, timeout_s=60)


async def test_closing_ends_what_is_being_answered():
    """No task outlives the channel."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def never(_body: dict) -> dict:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError("unreachable")

    async with channel_and_peer({"never": never}) as (channel, peer):
        peer.sendall(framed(b'{"id":1,"ask":"never","body":{}}'))
        await begun.wait()
    assert ended.is_set()
    assert channel.lost.is_set()


@virtual
async def test_silence_ends_with_the_time():
    """A late answer is nobody's, and the next request gets its own."""
    async with channel_and_peer({}) as (channel, peer):
        with pytest.raises(TimeoutError):
            await channel.request("double", {}, timeout_s=3)
        peer.sendall(framed(b'{"id":1,"answer":{"of":"the first"}}') + framed(b'{"id":2,"answer":{"of":"the second"}}'))
        assert await channel.request("double", {}, timeout_s=3) == {"of": "the second"}


@virtual
async def test_who_does_not_read_costs_no_memory():
    """A stopped process: requests wait for room, then give up; what was sent is bounded."""
    async with channel_and_peer({}) as (channel, _):
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await channel.request("x", {"text": "x" * (1 << 20)}, timeout_s=1)
        assert channel._writer.transport.get_write_buffer_size() < 3 << 20


@pytest.mark.parametrize(
    "said",
    [
        (MOST_BYTES + 1).to_bytes(4, "big"),
        framed(b"no json"),
        framed(b"\xff\xfe"),
        framed(b"[" * 100_000),
        framed(b"[]"),
        framed(b'{"id":"1","ask":"double"}'),
        framed(b'{"ask":"double"}'),
        framed(b'{"id":1,"ask":"double","body":{"number":1}}')[:-3],
    ],
)
async def test_what_is_no_message_ends_the_channel(said):
    """Nothing is guessed about where the next one would begin."""
    async with channel_and_peer({"double": double}) as (channel, peer):
        peer.sendall(said)
        peer.shutdown(socket.SHUT_WR)
        await asyncio.wait_for(channel.lost.wait(), SOON_S)


@pytest.mark.parametrize("message", [{"id": 1, "ask": [1], "body": {}}, {"id": 1, "ask": "double", "body": 7}])
async def test_a_message_without_sense_is_answered_so(message):
    """It has an id: who sent it may go on."""
    async with channel_and_peer({"double": double}) as (_, peer):
        peer.sendall(framed(json.dumps(message).encode()))
        answer = await asyncio.get_running_loop().run_in_executor(None, peer.recv, 4096)
    assert set(json.loads(answer[4:])) == {"id", "error"}


async def test_a_flood_of_requests_ends_the_channel():
    """The other side is ours: so many at once are a fault of ours, and memory is not theirs to take."""

    async def never(_body: dict) -> dict:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async with channel_and_peer({"never": never}) as (channel, peer):
        peer.sendall(framed(b'{"id":1,"ask":"never","body":{}}') * 1025)
        await asyncio.wait_for(channel.lost.wait(), SOON_S)
