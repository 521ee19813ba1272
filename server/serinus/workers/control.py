"""What the supervisor and a worker say to each other: requests both ways, as JSON behind its length, each with an end.

It runs over a socket pair that the worker inherits, so nobody else can connect to it, and nothing that it carries can
become code. A message is four bytes of length, big-endian, and a JSON object:

    {"id": 7, "ask": "metrics", "body": {}}  →  {"id": 7, "answer": {"text": "..."}}  or  {"id": 7, "error": "why not"}
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from serinus.core.errors import ServerError
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.workers")

Body = dict[str, Any]
"""Values of JSON by name; bytes travel as text."""
Handler = Callable[[Body], Awaitable[Body]]
"""Answers one kind of request; what it says in a `ServerError` reaches who asked, any other error is a bug."""

MOST_BYTES: Final = 64 << 20  # the metrics of thousands of models fit
# Of one kind at once; what is asked besides waits for its turn. Clients can have many things asked, and must neither
# fill the other side nor hold up what the two have to say to each other for themselves.
_MOST_OF_A_KIND = 64
_MOST_ASKED = 1024  # by the other side at once, of all kinds that there are; more is a loop that has lost its mind
_LENGTH_BYTES = 4


class ChannelLost(Exception):
    """The other side is gone, or says what is no message; whatever it was asked stays unanswered."""


class NotAnswered(Exception):
    """The other side could not answer; the message says why, in its own words."""


class _NoMessage(Exception):
    """What the other side said cannot be read on from."""


class ControlChannel:
    """One end of the connection. Open → lost; an async context manager, which closes it.

    Args:
        reader: What the other side says.
        writer: What it hears; closed with the channel.
        handlers: By kind, what the other side may ask; `answer` adds more.

    Attributes:
        lost: Set once nothing can be asked any more.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handlers: Mapping[str, Handler] = {}
    ) -> None:
        self.lost = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._handlers = dict(handlers)
        self._waiting: dict[int, asyncio.Future[Body]] = {}
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._last_id = 0

    @classmethod
    async def over(cls, connection: socket.socket, handlers: Mapping[str, Handler] = {}) -> Self:
        """A channel over one end of a socket pair, which it owns from now on."""
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        return cls(reader, writer, handlers)

    def answer(self, kind: str, handler: Handler) -> None:
        """Let the other side ask for `kind` from now on."""
        self._handlers[kind] = handler

    async def request(self, kind: str, body: Body, *, timeout_s: float) -> Body:
        """What the other side answers.

        Raises:
            ChannelLost: it is gone.
            NotAnswered: it does not know the kind, or cannot.
            TimeoutError: it has not answered in time, does not even read, or was asked too many of the kind before.
            ValueError: the request is too long.
        """
        if self.lost.is_set():
            raise ChannelLost(f"{kind}: nobody is there")
        self._last_id += 1
        number = self._last_id
        message = _encoded({"id": number, "ask": kind, "body": body})
        waiting: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            async with asyncio.timeout(timeout_s), self._turns.setdefault(kind, asyncio.Semaphore(_MOST_OF_A_KIND)):
                await self._send(message)
                answer = await waiting
        except ConnectionError as error:
            raise ChannelLost(f"{kind}: nobody is there") from error
        finally:
            del self._waiting[number]
            # Both may end the wait at once; then nobody looks at the future.
            if waiting.done() and not waiting.cancelled():
                waiting.exception()
        return answer

    async def run(self) -> None:
        """Take what the other side says until it is gone, or says what is no message; to be run once."""
        try:
            while True:
                self._take(await self._read())
        except (asyncio.IncompleteReadError, OSError):
            pass  # how the other side goes
        except _NoMessage as error:
            log.error("control channel broken", trouble=str(error))  # noqa: TRY400 - where it was noticed says nothing
        finally:
            self._lose()

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.run(), name="control")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.cancel()
        await asyncio.wait({self._running})
        self._lose()  # a task that is cancelled before its first step never enters its `try`
        if self._answering:
            await asyncio.wait(set(self._answering))

    def _lose(self) -> None:
        """End what is under way; nothing if that has been done."""
        self.lost.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ChannelLost("the other side is gone"))
        for task in self._answering:
            task.cancel()
        self._writer.close()

    async def _read(self) -> Body:
        """The next message.

        Raises:
            _NoMessage: it is none.
        """
        size = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
        if size > MOST_BYTES:
            raise _NoMessage(f"a message of {size} bytes: at most {MOST_BYTES} are taken")
        text = await self._reader.readexactly(size)
        try:
            message: object = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _NoMessage(f"no JSON: {text[:64]!r}") from error
        if not isinstance(message, dict) or not isinstance(message.get("id"), int):
            raise _NoMessage(f"no message: {text[:64]!r}")
        return message

    def _take(self, message: Body) -> None:
        # Three cases: a request, an answer that is waited for, and one that came too late.
        if "ask" in message:
            self._begin_answer(message)
            return
        waiting = self._waiting.get(message["id"])
        if waiting is None or waiting.done():
            return
        answer = message.get("answer")
        if isinstance(answer, dict):
            waiting.set_result(answer)
        else:
            waiting.set_exception(NotAnswered(str(message.get("error", "nothing"))))

    def _begin_answer(self, message: Body) -> None:
        if len(self._answering) >= _MOST_ASKED:
            raise _NoMessage(f"more than {_MOST_ASKED} requests at once")
        task = asyncio.create_task(self._answer(message), name="control-answer")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, message: Body) -> None:
        number = message["id"]
        try:
            reply = _encoded({"id": number, "answer": await self._answered(message)})
        except NotAnswered as error:
            reply = _encoded({"id": number, "error": str(error)})
        except ServerError as error:
            reply = _encoded({"id": number, "error": error.message})
        except Exception as error:
            log.exception("control request failed", kind=str(message["ask"]))  # the task's outermost frame
            reply = _encoded({"id": number, "error": f"failed: {type(error).__name__}"})
        # Who asked may be gone, which `run` notices.
        with contextlib.suppress(ConnectionError):
            await self._send(reply)

    async def _answered(self, message: Body) -> Body:
        kind, body = message["ask"], message.get("body")
        handler = self._handlers.get(kind) if isinstance(kind, str) else None
        if handler is None or not isinstance(body, dict):
            raise NotAnswered(f"nobody here answers {str(kind)[:64]!r}")
        return await handler(body)

    async def _send(self, message: bytes) -> None:
        # First wait for room: what nobody reads would pile up otherwise.
        await self._writer.drain()
        if self._writer.is_closing():
            raise ConnectionResetError("the channel is closed")
        self._writer.write(message)


def _encoded(message: Body) -> bytes:
    """The message as it is sent.

    Raises:
        ValueError: it is too long.
    """
    text = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > MOST_BYTES:
        raise ValueError(f"a message of {len(text)} bytes: at most {MOST_BYTES} are sent")
    return len(text).to_bytes(_LENGTH_BYTES, "big") + text
