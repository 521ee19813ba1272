"""RPCs that one worker answers for all of a machine: what each of them says alone, put together."""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from google.protobuf.message import Message

from serinus.transport.service import parse

Asked = TypeVar("Asked", bound=Message)
Answer = TypeVar("Answer", bound=Message)

Others = Callable[[str, bytes], Awaitable[Sequence[bytes]]]
"""What the other workers say to a method and its request, within a second or so whatever they do; those that cannot
answer, or not in time, are left out."""


async def no_others(_method: str, _message: bytes) -> Sequence[bytes]:
    """There are none."""
    return ()


@dataclasses.dataclass(frozen=True, slots=True)
class OfAll(Generic[Asked, Answer]):
    """A method whose answer of one worker alone would mislead: callers do not choose which one they meet.

    Attributes:
        name: Of the method.
        asked: Type of its request.
        answer: Type of its response.
        own: What this process says; what it refuses is refused.
        join: Makes one answer of those of all, this process's first.
        others: Of the machine.
    """

    name: str
    asked: type[Asked]
    answer: type[Answer]
    own: Callable[[Asked], Awaitable[Answer]]
    join: Callable[[Asked, Sequence[Answer]], Answer]
    others: Others

    async def __call__(self, asked: Asked) -> Answer:
        """What all say."""
        mine = await self.own(asked)
        theirs = await self.others(self.name, asked.SerializeToString())
        return self.join(asked, [mine, *map(self.answer.FromString, theirs)])

    async def alone(self, message: bytes) -> bytes:
        """What this process says, for another one that answers for all."""
        return (await self.own(parse(self.asked, message))).SerializeToString()
