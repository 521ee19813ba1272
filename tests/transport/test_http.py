"""The HTTP face, asked over real sockets."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serinus.transport.http import HttpServer, http_face, on_a_thread


def face(
    *,
    exposition: Callable[[], tuple[bytes, str]] = lambda: (b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"),
    is_live: Callable[[], bool] = lambda: True,
    is_ready: Callable[[], bool] = lambda: True,
    ready_detail: Callable[[], Mapping[str, Any]] = dict,
) -> Starlette:
    async def detail() -> Mapping[str, Any]:
        return ready_detail()

    return http_face(exposition=on_a_thread(exposition), is_live=is_live, is_ready=is_ready, ready_detail=detail)


@contextlib.asynccontextmanager
async def browsing(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        HttpServer(app) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client,
    ):
        yield client


async def asked(app: Starlette, path: str, method: str = "GET") -> httpx.Response:
    async with browsing(app) as client:
        return await client.request(method, path)


async def closed_by_server(reader: asyncio.StreamReader) -> bool:
    """Whether the connection ends before the client gives up; a reset is an end too."""
    try:
        async with asyncio.timeout(60):
            await reader.read()
    except ConnectionError:
        return True
    return reader.at_eof()


async def test_metrics_answer_what_was_measured():
    """Body and content type are the exposition's, unchanged."""
    response = await asked(face(), "/metrics")
    assert (response.status_code, response.content) == (200, b"up 1\n")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert parsedate_to_datetime(response.headers["date"]).year >= 2024
    assert "server" not in response.headers


@pytest.mark.parametrize(("live", "status"), [(True, 200), (False, 503)])
async def test_livez_says_whether_to_leave_the_process_running(live: bool, status: int):  # noqa: FBT001 - a table's column
    """200 while it should, 503 when it should be restarted."""
    response = await asked(face(is_live=lambda: live), "/livez")
    assert (response.status_code, response.json()) == (status, {"live": live})


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_readyz_says_whether_to_send_calls_and_why(ready: bool, status: int):  # noqa: FBT001 - a table's column
    """The detail rides along in either case."""
    app = face(is_ready=lambda: ready, ready_detail=lambda: {"models": {"magika": "READY"}})
    response = await asked(app, "/readyz")
    assert (response.status_code, response.json()) == (status, {"ready": ready, "models": {"magika": "READY"}})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/metrics/../../etc/passwd", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/readyz", 405),
        ("HEAD", "/livez", 200),
    ],
)
async def test_nothing_else_is_served(method: str, path: str, status: int):
    """Three paths to read, none to change anything."""
    assert (await asked(face(), path, method)).status_code == status


async def test_a_scrape_that_fails_leaks_nothing_and_leaves_the_rest_alone():
    """The caller learns that it failed; the next probe is answered."""

    def broken() -> tuple[bytes, str]:
        raise RuntimeError("secret path /etc/serinus")

    async with browsing(face(exposition=broken)) as client:
        scrape, probe = await client.get("/metrics"), await client.get("/livez")
    assert (scrape.status_code, scrape.text) == (500, "Internal Server Error")
    assert probe.status_code == 200


async def test_a_slow_scrape_does_not_hold_up_probes_and_scrapes_wait_their_turn():
    """Rendering runs off the loop, one at a time."""
    running, most, began, go_on = 0, 0, threading.Event(), threading.Event()

    def slow() -> tuple[bytes, str]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        began.set()
        assert go_on.wait(60)
        running -= 1
        return b"", "text/plain; charset=utf-8"

    async with browsing(face(exposition=slow)) as client, asyncio.TaskGroup() as group:
        scrapes = [group.create_task(client.get("/metrics")) for _ in range(3)]
        assert await asyncio.to_thread(began.wait, 60)
        probe = await client.get("/livez")
        assert not any(scrape.done() for scrape in scrapes)
        go_on.set()
    assert probe.status_code == 200
    assert ([scrape.result().status_code for scrape in scrapes], most) == ([200] * 3, 1)


async def test_a_taken_port_is_refused_with_a_sentence():
    """Two servers never share a port; the error says which and why."""
    async with HttpServer(face()) as first:
        with pytest.raises(OSError, match="another process") as caught:
            async with HttpServer(face(), port=first.port):
                pytest.fail("two servers on one port")
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.strerror == f"cannot listen for HTTP on 127.0.0.1:{first.port}: another process listens there"


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("192.0.2.1", "cannot listen for HTTP on 192.0.2.1:0: Cannot assign requested address"),
        ("2001:db8::1", "cannot listen for HTTP on [2001:db8::1]:0: Cannot assign requested address"),
        ("x" * 64, f"cannot listen for HTTP on {'x' * 64}:0: Invalid argument"),
    ],
    ids=["IPv4", "IPv6", "no name"],
)
async def test_an_address_that_is_not_ours_is_refused_with_a_sentence(host: str, sentence: str):
    """What the system says stands in the sentence."""
    with pytest.raises(OSError, match="cannot listen") as caught:
        async with HttpServer(face(), host=host):
            pytest.fail("listening on an address that is not ours")
    assert caught.value.strerror == sentence


async def test_the_port_is_free_again_after_the_block():
    """A block that ended can be entered anew on the same port, and nothing answers in between."""
    async with HttpServer(face()) as server:
        assert repr(server) == f"<HttpServer 127.0.0.1:{server.port}>"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    async with HttpServer(face(), port=server.port), httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://127.0.0.1:{server.port}/livez")).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /livez HTTP/1.1\r\nhost: x\r\n",
        b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01 no HTTP\r\n\r\n",
    ],
    ids=["nothing", "half a request", "keep-alive", "no HTTP"],
)
async def test_open_connections_do_not_hold_up_the_end(sent: bytes):
    """Clients that stay connected are disconnected, whatever they have sent."""
    async with asyncio.timeout(60):
        async with HttpServer(face()) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(sent)
            if sent.endswith(b"\r\n\r\n"):
                assert (await reader.readline()).startswith(b"HTTP/1.1 ")
        assert await closed_by_server(reader)
        writer.close()


async def test_an_answer_that_never_comes_is_cut_off_when_the_grace_is_over():
    """The end is bounded by the grace, not by the slowest handler."""
    asked_for, cancelled = asyncio.Event(), asyncio.Event()

    async def never(_request: Request) -> PlainTextResponse:
        asked_for.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("nobody sets that event; this is a bug")

    async with asyncio.timeout(60):
        async with HttpServer(Starlette(routes=[Route("/", never)]), grace_s=0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            await asked_for.wait()
        await cancelled.wait()
        assert await closed_by_server(reader)
        writer.close()


async def test_a_client_that_does_not_read_is_cut_off():
    """An answer larger than all buffers cannot keep the block open."""
    app = face(exposition=lambda: (b"x" * 50_000_000, "text/plain; charset=utf-8"))
    async with asyncio.timeout(60):
        async with HttpServer(app, grace_s=0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert await closed_by_server(reader)
        writer.close()


async def test_an_error_in_the_block_passes_through_and_ends_the_server():
    """The block's owner sees its own error."""
    with pytest.raises(ZeroDivisionError):
        async with HttpServer(face()) as server:
            1 / 0  # noqa: B018 - it raises
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()


async def test_signals_are_left_to_their_owner():
    """A signal during the block reaches the handler that was there before, and the server goes on."""
    caught: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: caught.append(number))
    try:
        async with HttpServer(face()) as server, httpx.AsyncClient(trust_env=False) as client:
            os.kill(os.getpid(), signal.SIGTERM)
            response = await client.get(f"http://127.0.0.1:{server.port}/livez")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (response.status_code, caught) == (200, [signal.SIGTERM])
