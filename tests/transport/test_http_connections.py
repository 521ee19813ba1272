"""More connections to the HTTP port than there may be."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from serinus.transport.http import HttpServer

MOST = 3
GET = b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n"
WAIT_S = 60.0


class Face:
    """`/now` answers, `/later` when it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.may = asyncio.Event()
        self.has_come = asyncio.Condition()
        self.app = Starlette(routes=[Route("/now", self.now), Route("/later", self.later)])

    async def now(self, _request: Request) -> PlainTextResponse:
        return PlainTextResponse("now")

    async def later(self, _request: Request) -> PlainTextResponse:
        async with self.has_come:
            self.asked += 1
            self.has_come.notify_all()
        await self.may.wait()
        return PlainTextResponse("later")

    async def until_asked(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S), self.has_come:
            await self.has_come.wait_for(lambda: self.asked == count)


class Client:
    """A connection and what comes on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def ask(self, path: bytes) -> None:
        self._writer.write(GET % path)

    async def answer(self) -> str:
        """The last line of the answer; "" when the server has ended the connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(WAIT_S):
                head = await self._reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
                return (await self._reader.readexactly(int(length.partition(b":")[2]))).decode()
        return ""


@contextlib.asynccontextmanager
async def clients(port: int, count: int) -> AsyncIterator[list[Client]]:
    async with contextlib.AsyncExitStack() as block:
        found = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            block.callback(writer.transport.abort)
            found.append(Client(reader, writer))
        yield found


async def test_those_who_say_nothing_do_not_keep_others_out():
    """The oldest of them goes for each that comes; who comes is answered, again and again."""
    async with HttpServer(Face().app, most_connections=MOST) as server, clients(server.port, MOST) as silent:
        for _ in range(2):
            async with clients(server.port, MOST) as others:
                for client in others:
                    client.ask(b"now")
                assert [await client.answer() for client in others] == ["now"] * MOST
        assert [await client.answer() for client in silent] == [""] * MOST


async def test_those_who_wait_for_an_answer_get_it():
    """While all do, who comes is turned away; not while one has had its answer."""
    face = Face()
    async with HttpServer(face.app, most_connections=MOST) as server, clients(server.port, MOST) as waiting:
        for client in waiting:
            client.ask(b"later")
        await face.until_asked(MOST)
        async with clients(server.port, 2) as turned_away:
            assert [await client.answer() for client in turned_away] == ["", ""]
        face.may.set()
        assert [await client.answer() for client in waiting] == ["later"] * MOST
        async with clients(server.port, 1) as [late]:
            late.ask(b"now")
            assert await late.answer() == "now"
