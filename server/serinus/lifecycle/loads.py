"""One load: counted, logged, and given room in memory for as long as it and what it makes last."""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

from serinus.config.models import VersionSpec
from serinus.core.errors import ServerError
from serinus.core.version import ModelVersion
from serinus.lifecycle.memory import Memory, Resident
from serinus.lifecycle.servable import Loader, Servable
from serinus.telemetry.load_metrics import LoadMetrics
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.lifecycle")


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What all models of a server share.

    Attributes:
        load: Makes servables.
        tasks: Where loads live, and versions that close.
        memory: What loaded versions take.
        residents: All that serve, as candidates to make room.
        evict: Unloads one of them, of whichever model.
        publish: Called with a model's name whenever calls are to find something else of it.
        forget: Told about versions of which nothing is left.
        metrics: Counts loads.
        clock: `time.monotonic()`, the clock of `Servable.last_used_s`.
    """

    load: Loader
    tasks: asyncio.TaskGroup
    memory: Memory
    residents: Callable[[], Sequence[Resident]]
    evict: Callable[[ModelVersion], None]
    publish: Callable[[str], None]
    forget: Callable[[ModelVersion], None]
    metrics: LoadMetrics
    clock: Callable[[], float]


async def load_version(around: Surroundings, spec: VersionSpec) -> Servable:
    """A servable, which owns its memory until somebody frees that.

    Raises:
        ServerError: it cannot be served, or not now.
    """
    identity = spec.identity
    owner = object()  # of the memory, until there is a servable to own it

    async def make_room(size_bytes: int) -> None:
        await around.memory.make_room(
            owner, size_bytes, loading=identity, residents=around.residents, unload=around.evict
        )

    started = around.clock()
    try:
        servable = await around.load(spec, make_room)
    except ServerError as error:
        log.warning("version rejected", model=identity.model, version=identity.version_text, reason=error.message)
        around.metrics.failed()
        raise
    finally:
        around.memory.free(owner)
    around.memory.take(servable, servable.size_bytes)
    around.metrics.loaded(around.clock() - started)
    return servable
