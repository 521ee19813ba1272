"""The HTTP face: what monitors and orchestrators ask over HTTP, and the server that answers them on this event loop."""

import asyncio
import contextlib
import email.utils
import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serinus.threads import short_turns
from serinus.transport.connection_limit import most_http_connections_now
from serinus.transport.http_connections import ConnectionBook

_BACKLOG = 128
_HEADERS_BYTES = 16 * 1024
_IDLE_S = 30  # longer than a usual scrape interval, so that a scraper keeps its connection


def http_face(
    *,
    exposition: Callable[[], Awaitable[tuple[bytes, str]]],
    is_live: Callable[[], bool],
    is_ready: Callable[[], bool],
    ready_detail: Callable[[], Awaitable[Mapping[str, Any]]],
) -> Starlette:
    """The application behind `/metrics`, `/livez` and `/readyz`; every other path is 404, every other method 405.

    Args:
        exposition: Everything that is measured and its content type; called once at a time.
        is_live: Whether this process should be left running.
        is_ready: Whether calls should be sent here.
        ready_detail: What to add to the answer of `/readyz`: JSON values, and nothing that only operators may see.
    """
    one_scrape = asyncio.Lock()

    async def metrics(_request: Request) -> Response:
        # One at a time, so that scrapers leave a core.
        async with one_scrape:
            body, content_type = await exposition()
        return Response(body, media_type=content_type, headers=_headers())

    async def livez(_request: Request) -> Response:
        return _probe({"live": is_live()})

    async def readyz(_request: Request) -> Response:
        return _probe({"ready": is_ready(), **await ready_detail()})

    return Starlette(routes=[Route("/metrics", metrics), Route("/livez", livez), Route("/readyz", readyz)])


def on_a_thread(exposition: Callable[[], tuple[bytes, str]]) -> Callable[[], Awaitable[tuple[bytes, str]]]:
    """The same on a thread: a hundred models take a tenth of a second.

    One that work with files cannot keep busy: a scrape is answered although the disk hangs.
    """

    async def exposed() -> tuple[bytes, str]:
        return await run_in_threadpool(short_turns()(exposition))

    return exposed


def _probe(answer: Mapping[str, Any]) -> Response:
    """The answer as JSON; its first value decides between 200 and 503."""
    good = next(iter(answer.values()))
    return JSONResponse(answer, status_code=200 if good else 503, headers=_headers())


def _headers() -> dict[str, str]:
    return {"cache-control": "no-store", "date": email.utils.formatdate(usegmt=True)}


class HttpServer:
    """Serves an application on the running loop while its block runs.

    Leaving the block takes no new connection, closes idle ones, and gives answers under way `grace_s`; whatever is left
    is then cut off. Signals are left alone: who owns the process ends the block.

    Args:
        app: What to serve.
        host: An address to listen on; a name resolves to one of its IPv4 addresses.
        port: 0 takes a free one.
        grace_s: Whole seconds.
        most_connections: Open at once, 1 or more; None for what the files of the process allow.

    Attributes:
        host: As given.
        port: As given; inside the block, the one that is bound.
    """

    def __init__(
        self,
        app: Starlette,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        grace_s: int = 1,
        most_connections: int | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._app = app
        self._grace_s = grace_s
        self._most_connections = most_connections or most_http_connections_now()
        self._block = contextlib.AsyncExitStack()

    def __repr__(self) -> str:
        return f"<HttpServer {_address(self.host, self.port)}>"

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: the address cannot be had; `strerror` is a sentence that says which and why.
        """
        await self._block.enter_async_context(self._listening())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._block.aclose()

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        with bound_socket(self.host, self.port) as listener:
            self.port = listener.getsockname()[1]
            server = _Server(
                uvicorn.Config(
                    self._app,
                    # The same parser wherever we run, whatever else is installed.
                    http=ConnectionBook(self._most_connections).protocol(),
                    ws="none",
                    lifespan="off",
                    log_config=None,  # its records go where all of ours go
                    log_level="warning",
                    access_log=False,
                    proxy_headers=False,
                    server_header=False,
                    date_header=False,  # ours stands in each answer: no timer has to keep it fresh
                    backlog=_BACKLOG,
                    timeout_keep_alive=_IDLE_S,
                    timeout_graceful_shutdown=self._grace_s,
                    h11_max_incomplete_event_size=_HEADERS_BYTES,
                )
            )
            serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
            try:
                await _first_of(server.listening, serving)
                yield
            finally:
                server.closing.set()
                try:
                    # uvicorn keeps to its grace by itself; the second more is for when it does not.
                    await asyncio.wait({serving}, timeout=self._grace_s + 1)
                finally:
                    serving.cancel()
                    server.abort_connections()


class _Server(uvicorn.Server):
    """uvicorn's server, told by events what to do, and deaf to signals.

    Attributes:
        listening: Set once connections are taken.
        closing: Set by the owner to end `serve`.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.closing = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        # The original wakes ten times a second to look at flags that nobody sets here.
        await self.closing.wait()

    def abort_connections(self) -> None:
        """Cut off whoever is still connected, such as a client that does not read its answer."""
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on the address and refuses to share it.

    Raises:
        OSError: the address cannot be had; `strerror` is a sentence that says which and why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # What has no such encoding would be refused only after a socket was made, which nobody would close.
        host.encode("idna")
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or errno.EINVAL
        raise OSError(number, f"cannot listen for HTTP on {_address(host, port)}: {_why(number)}") from error


def _why(number: int) -> str:
    if number == errno.EADDRINUSE:
        return "another process listens there"
    # The resolver's numbers are negative, and only its own text function knows them.
    return os.strerror(number) if number > 0 else "no such host"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _first_of(event: asyncio.Event, task: asyncio.Task[None]) -> None:
    """Wait for the event, or for the end of the task that should have set it, which then raises."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if task.done():
        task.result()
