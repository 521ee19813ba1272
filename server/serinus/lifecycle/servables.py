"""The loaded versions of one model: which of them serve, which close, and when the last trace of one is gone."""

import asyncio
from collections.abc import Callable, Collection

from serinus.config.models import VersionSpec
from serinus.core.version import ModelVersion
from serinus.lifecycle.memory import Memory
from serinus.lifecycle.servable import Servable
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.lifecycle")


class Servables:
    """What was loaded of one model.

    Attributes:
        tasks: Where versions close.
        memory: What they take.
        forget: Told about versions of which nothing is left.
        is_coming: Whether a version is being loaded, so that something will be left of it.
        ready: What serves, by number.
    """

    def __init__(
        self,
        *,
        tasks: asyncio.TaskGroup,
        memory: Memory,
        forget: Callable[[ModelVersion], None],
        is_coming: Callable[[ModelVersion], bool],
    ) -> None:
        self.ready: dict[int, Servable] = {}
        self._tasks = tasks
        self._memory = memory
        self._forget = forget
        self._is_coming = is_coming
        self._loaded_from: dict[int, VersionSpec] = {}
        self._closing: dict[asyncio.Task[None], Servable] = {}
        self._made: set[ModelVersion] = set()

    def specs(self) -> tuple[VersionSpec, ...]:
        """What the versions that serve were loaded from."""
        return tuple(self._loaded_from.values())

    def closing(self) -> Collection[ModelVersion]:
        """Versions that close; calls may be inside."""
        return [servable.identity for servable in self._closing.values()]

    def made(self, identity: ModelVersion) -> None:
        """A load of that version came far enough to leave something behind, such as counters."""
        self._made.add(identity)

    def install(self, spec: VersionSpec, servable: Servable) -> None:
        """Let a version serve; an older load of it closes."""
        number = spec.identity.number
        old = self.ready.get(number)
        self.ready[number] = servable
        self._loaded_from[number] = spec
        log.info("version serves", model=spec.identity.model, version=spec.identity.version_text)
        if old is not None:
            self.retire(old)

    def drop(self, number: int) -> None:
        """Let a version serve no more."""
        del self._loaded_from[number]
        self.retire(self.ready.pop(number))

    def retire(self, servable: Servable) -> None:
        """Begin to close what no call can find any more; its calls' deadlines bound how long that takes."""
        task = self._tasks.create_task(_close(servable))
        self._closing[task] = servable
        self._memory.closing(servable, task)
        task.add_done_callback(self._retired)

    def _retired(self, task: "asyncio.Task[None]") -> None:
        servable = self._closing.pop(task)
        self._memory.free(servable)
        self.forget_if_gone(servable.identity)

    def forget_if_gone(self, identity: ModelVersion) -> None:
        """Tell that a version is gone, once nothing is left of any load of it and none is under way."""
        if identity not in self._made or identity.number in self.ready or self._is_coming(identity):
            return
        if identity not in self.closing():
            self._made.discard(identity)
            self._forget(identity)

    async def closed(self) -> None:
        """Wait until everything that closes now is closed."""
        if self._closing:
            await asyncio.wait(set(self._closing))


async def _close(servable: Servable) -> None:
    identity = servable.identity
    try:
        await servable.close()
    except Exception:  # a task's outermost frame: one model must not take the others down
        log.exception("version did not close", model=identity.model, version=identity.version_text)
    else:
        log.info("version unloaded", model=identity.model, version=identity.version_text)
