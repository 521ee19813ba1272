"""Real HTTP servers that receive what webhooks send, on a thread and a free port of this machine."""

import asyncio
import contextlib
import dataclasses
import http.server
import ssl
import threading
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Received:
    """One request.

    Attributes:
        path: With its query.
        headers: By name in lower case.
        body: All of it.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """Answers each request with the next of `statuses`, or else with 204.

    Attributes:
        port: Where it listens.
        requests: What came in, in order.
        statuses: What is answered next.
        headers: Sent with each answer.
        silent: While it is set, a request is received and not answered.
    """

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[Received] = []
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.silent = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    async def has(self, count: int) -> None:
        """Wait until so many requests came in."""
        async with asyncio.timeout(60):
            while len(self.requests) < count:
                self._news.clear()
                await self._news.wait()

    def answer(self, request: Received) -> int:
        """Keep a request; called by the server's thread."""
        self.requests.append(request)
        status = self.statuses.pop(0) if self.statuses else 204
        self._loop.call_soon_threadsafe(self._news.set)
        while self.silent.is_set():
            time.sleep(0.005)  # the thread of one connection waits; its receiver is what hangs
        return status


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver, over TLS if there is a context; gone afterwards."""
    receiver = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.answer(Received(self.path, headers, body))
            with contextlib.suppress(OSError):  # whoever asked may have gone
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_arguments: Any) -> None:
            """A client that does not like the certificate is no error of the test."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.silent.clear()
        await asyncio.to_thread(server.shutdown)
        await asyncio.to_thread(thread.join)
        server.server_close()
