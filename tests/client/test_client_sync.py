"""The synchronous client: the same calls from threads."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serinus_client import AsyncClient, Client, InvalidInput, Unavailable
from tests.client.fake_server import FakeServer, echo

X = np.array([[1.0, 2.0]], np.float32)


@pytest.fixture
async def server():
    async with FakeServer() as running:
        yield running


async def in_thread(work):
    """Run blocking code beside the server's loop."""
    return await asyncio.to_thread(work)


async def test_eight_threads_share_one_client(server):
    """Each gets its own answers, over one stream."""

    def one_thread(client, thread):
        for number in range(25):
            row = np.array([[thread, number]], np.float32)
            np.testing.assert_array_equal(client.predict("m", {"x": row})["y"], row)
        return thread

    def all_threads():
        with Client(server.target) as client, ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda thread: one_thread(client, thread), range(8)))

    assert await in_thread(all_threads) == list(range(8))
    assert (len(server.calls), server.streams, len(server.info_requests)) == (200, 1, 1)


async def test_everything_that_the_asynchronous_client_does(server):
    """Whole answers, descriptions, status, errors."""

    def work():
        with Client(server.target, metadata=[("k", "v")]) as client:
            assert client.call("m", {"x": X}, request_id="r").request_id == "r"
            assert client.model_info("m").version == "1.0.0"
            assert client.admin.server_status().ready
            with pytest.raises(InvalidInput, match="WRONG_DTYPE"):
                client.predict("m", {"x": [["a"]]})

    await in_thread(work)


async def test_closing_ends_calls_of_other_threads(server):
    """With Unavailable; later calls are told that the client is not open."""
    arrived = threading.Event()

    async def hang(request):
        arrived.set()
        await asyncio.get_running_loop().create_future()
        return await echo(request)

    server.answer = hang

    def work():
        client = Client(server.target)
        with client, ThreadPoolExecutor(1) as pool:
            call = pool.submit(client.predict, "m", {"x": X})
            arrived.wait()
            client.close()
            with pytest.raises(Unavailable, match="CLIENT_CLOSED"):
                call.result()
        with pytest.raises(RuntimeError, match="not open"):
            client.predict("m", {"x": X})

    await in_thread(work)
    assert [thread.name for thread in threading.enumerate() if thread.name == "serinus-client"] == []


async def test_a_closed_client_can_be_opened_again(server):
    """With a new loop and a new connection."""

    def work():
        client = Client(server.target)
        for _ in range(2):
            with client:
                client.predict("m", {"x": X})
                with pytest.raises(RuntimeError, match="open already"):
                    client.__enter__()

    await in_thread(work)


async def test_the_asynchronous_client_belongs_to_one_loop(server):
    """Used elsewhere it says so, instead of hanging."""
    client = AsyncClient(server.target)
    with pytest.raises(RuntimeError, match="not open"):
        await client.predict("m", {"x": X})
    async with client:
        with pytest.raises(RuntimeError, match="open already"):
            await client.__aenter__()
        with pytest.raises(RuntimeError, match="another event loop"):
            await in_thread(lambda: asyncio.run(client.predict("m", {"x": X})))
        await client.predict("m", {"x": X})
