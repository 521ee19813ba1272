"""How methods are called: for how long, and whether they still are once the server drains."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message

from serinus.core.errors import Draining
from serinus.transport.callers import answered_in_time
from serinus.transport.deadlines import Budgets
from serinus.transport.drain import Drain
from serinus.transport.guard import AnswersMethod, Context, UnaryMethod, UploadMethod
from serinus.transport.service import typed_call

Asked = TypeVar("Asked", bound=Message)
Read = Callable[[Asked], Awaitable[Message]]
Write = Callable[[Asked, Context], Awaitable[Message]]


class Calls:
    """Wraps methods for services that answer what is quick even while the server drains.

    Attributes:
        drain: Turns away what changes something or takes long, once it has begun.
        budgets: For calls that say nothing of how long they wait; slow ones get the longest.
    """

    def __init__(self, drain: Drain, budgets: Budgets) -> None:
        self._drain = drain
        self._quick = budgets
        self._slow = Budgets(default_s=budgets.longest_s, longest_s=budgets.longest_s)

    def read(self, asked: type[Asked], method: Read[Asked]) -> UnaryMethod:
        """A quick method that changes nothing."""
        return self._reading(asked, method, self._quick)

    def slow_read(self, asked: type[Asked], method: Read[Asked]) -> UnaryMethod:
        """A method that changes nothing and may take minutes."""
        return self._reading(asked, method, self._slow)

    def write(self, asked: type[Asked], method: Write[Asked]) -> UnaryMethod:
        """A quick method that changes something."""
        return self._writing(asked, method, self._quick)

    def slow_write(self, asked: type[Asked], method: Write[Asked]) -> UnaryMethod:
        """A method that changes something and may take minutes."""
        return self._writing(asked, method, self._slow)

    def _reading(self, asked: type[Asked], method: Read[Asked], budgets: Budgets) -> UnaryMethod:
        async def read(message: Asked, context: Context) -> Message:
            async with answered_in_time(context, budgets):
                return await method(message)

        return typed_call(asked, read)

    def _writing(self, asked: type[Asked], method: Write[Asked], budgets: Budgets) -> UnaryMethod:
        async def write(message: Asked, context: Context) -> Message:
            self._drain.arrive()
            async with answered_in_time(context, budgets):
                return await method(message, context)

        return typed_call(asked, write)

    def upload(self, method: UploadMethod) -> UploadMethod:
        """A method that reads a stream and limits itself; those that have begun when the server drains go on."""

        async def upload(context: Context) -> bytes:
            self._drain.arrive()
            return await method(context)

        return upload

    def answers(self, method: AnswersMethod) -> AnswersMethod:
        """A method that writes a stream; those that have begun when the server drains go on."""

        async def answers(message: bytes, context: Context) -> None:
            self._drain.arrive()
            async with answered_in_time(context, self._slow):
                await method(message, context)

        return answers

    def until_drained(self, method: AnswersMethod) -> AnswersMethod:
        """A method that writes a stream which has no end, or a far one: the drain ends it with UNAVAILABLE."""

        async def answers(message: bytes, context: Context) -> None:
            self._drain.arrive()
            is_whole = False

            async def answer() -> None:
                nonlocal is_whole
                await method(message, context)
                is_whole = True

            await self._drain.run(answer())
            if not is_whole:
                raise Draining("the server is going away") if self._drain.has_begun else asyncio.CancelledError

        return answers
