"""How much memory loaded versions may take together, and which of them goes when another needs the room."""

import asyncio
import dataclasses
from collections.abc import Callable, Collection, Sequence

from serinus.core.errors import ModelRejected
from serinus.core.version import ModelVersion
from serinus.lifecycle.policy import NO_ROOM

LONGEST_WAIT_S = 60.0  # for calls to leave a version that goes; a load must not wait for those of an hour


@dataclasses.dataclass(frozen=True, slots=True)
class Resident:
    """A version that serves, as far as memory is concerned.

    Attributes:
        identity: Which.
        size_bytes: What it takes.
        last_used_s: When a call last left it, in seconds.
        may_go: Whether it can be unloaded: no call is inside, and it can be loaded again.
        is_named: Whether an alias means it.
    """

    identity: ModelVersion
    size_bytes: int
    last_used_s: float
    may_go: bool
    is_named: bool


def to_unload(
    residents: Collection[Resident], *, excess_bytes: int, loading: ModelVersion
) -> tuple[ModelVersion, ...] | None:
    """Which versions go, so that `excess_bytes` come free for `loading`; None if that many cannot.

    The least recently used goes first, but one that is the last of its model or that an alias means only after all
    others. The version that is loaded, and the last one of its model, stay: a load may fail.
    """
    there = [resident for resident in residents if resident.identity != loading]
    gone: list[Resident] = []
    while excess_bytes > sum(resident.size_bytes for resident in gone):
        left = [resident for resident in there if resident not in gone]
        serving = [resident.identity.model for resident in residents if resident not in gone]
        candidates = [
            (serving.count(each.identity.model) == 1 or each.is_named, each.last_used_s, str(each.identity), each)
            for each in left
            if each.may_go and not (each.identity.model == loading.model and serving.count(loading.model) == 1)
        ]
        if not candidates:
            return None
        gone.append(min(candidates, key=lambda each: each[:3])[3])
    return tuple(resident.identity for resident in gone)


class Memory:
    """Keeps the account of what loaded versions take.

    Entries are kept under any object: a load under way, then the servable that it made.

    Attributes:
        max_bytes: The most that they may take together; None for no bound.
    """

    def __init__(self, max_bytes: int | None) -> None:
        self.max_bytes = max_bytes
        self._taken: dict[int, int] = {}
        self._closing: dict[int, asyncio.Task[None]] = {}

    @property
    def used_bytes(self) -> int:
        """What loaded versions take, those on their way in or out included."""
        return sum(self._taken.values())

    def take(self, owner: object, size_bytes: int) -> None:
        """`owner` takes so many bytes, in all."""
        self._taken[id(owner)] = size_bytes

    def free(self, owner: object) -> None:
        """`owner` takes nothing any more."""
        self._taken.pop(id(owner), None)
        self._closing.pop(id(owner), None)

    def closing(self, owner: object, task: "asyncio.Task[None]") -> None:
        """What `owner` takes is free when `task` is done."""
        self._closing[id(owner)] = task

    async def make_room(
        self,
        owner: object,
        size_bytes: int,
        *,
        loading: ModelVersion,
        residents: Callable[[], Sequence[Resident]],
        unload: Callable[[ModelVersion], None],
    ) -> None:
        """Take so many bytes for `owner` in all, and wait until they are there.

        Args:
            owner: The load.
            size_bytes: What it takes.
            loading: The version that is loaded.
            residents: What serves now.
            unload: Begins to close a version, and says so to `closing`.

        Raises:
            ModelRejected: it does not fit, whatever goes.
        """
        self.take(owner, size_bytes)
        if self.max_bytes is None:
            return
        leaving_bytes = sum(self._taken.get(key, 0) for key in self._closing)
        victims = to_unload(residents(), excess_bytes=self.used_bytes - leaving_bytes - self.max_bytes, loading=loading)
        if victims is None:
            self.free(owner)
            raise self._no_room(loading, size_bytes)
        for victim in victims:
            unload(victim)
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                while self.used_bytes > self.max_bytes and self._closing:
                    await asyncio.wait(set(self._closing.values()), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self.free(owner)
            raise self._no_room(loading, size_bytes) from None

    def _no_room(self, loading: ModelVersion, size_bytes: int) -> ModelRejected:
        return ModelRejected(
            f"{loading} needs {size_bytes} bytes: loaded versions may take {self.max_bytes} together, and those that"
            f" are in use or needed take too much of it",
            reason=NO_ROOM,
        )
