"""Opens the registry: its database, its artifact store, and what follows and tidies both."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable

from serinus.app.examining import Examiner, intake_limits
from serinus.config.sections import RegistrySettings
from serinus.config.settings import Settings
from serinus.core.errors import ServerError
from serinus.registry.files.artifacts import ArtifactStore, Collected
from serinus.registry.files.bundle import BundleLimits
from serinus.registry.files.opening import open_blobs
from serinus.registry.files.receiving import Pace
from serinus.registry.files.staging import StagingArea
from serinus.registry.following import NOTHING_KNOWN, Follower
from serinus.registry.learned_costs import LearnedCostStore
from serinus.registry.registration import RegistrationLimits, Registrations
from serinus.registry.registry import Registry
from serinus.registry.rollouts import RolloutStore
from serinus.registry.saved_snapshot import SavedSnapshot
from serinus.registry.sql.database import open_database
from serinus.runtime.intake import Intake
from serinus.telemetry.logs import get_logger
from serinus.threads import to_thread

log = get_logger("serinus.registry")

_TIDY_EVERY_S = 3600.0  # orphans are a day old before they go


@dataclasses.dataclass(frozen=True, slots=True)
class RegistryStore:
    """The registry as one server has it open.

    Attributes:
        registry: What is registered.
        rollouts: Rollouts, and what servers say of them.
        costs: What runs cost, on machines like this one.
        artifacts: Its files.
        registrations: How more comes in.
        follower: What this server has heard of it.
        intake: Loads what nobody has looked at yet.
        area: Has folders for what is under way.
    """

    registry: Registry
    rollouts: RolloutStore
    costs: LearnedCostStore
    artifacts: ArtifactStore
    registrations: Registrations
    follower: Follower
    intake: Intake
    area: StagingArea


@contextlib.asynccontextmanager
async def open_registry(
    settings: Settings, *, is_reserved: Callable[[str], bool], machine: str
) -> AsyncIterator[RegistryStore]:
    """The registry that the settings name; the database and the store need not be reachable yet.

    Args:
        settings: What the operator says.
        is_reserved: Whether a name belongs to a model that does not come from the registry.
        machine: What costs depend on besides the model; see `runtime.machine`.

    Raises:
        ConfigError: there can be no database or store where the settings say.
    """
    said = settings.registry
    saved = SavedSnapshot(settings.state / "snapshot.json")
    known = await to_thread(saved.read)
    blobs = open_blobs(settings.artifacts_place, cache=settings.state / "cache", orphan_age_s=said.orphan_age_s)
    artifacts = ArtifactStore(blobs)
    async with (
        open_database(settings.database_url) as database,
        StagingArea(settings.state / "staging", at_once=said.max_uploads) as area,
    ):
        intake = Intake(intake_limits(settings.intake), providers=settings.compute.providers)
        registry = Registry(database, now=_now)
        rollouts = RolloutStore(database, now=_now)
        costs = LearnedCostStore(database, machine=machine, now=_now)
        registrations = Registrations(
            registry,
            artifacts,
            area,
            Examiner(intake),
            is_reserved=is_reserved,
            limits=_limits(said),
        )
        follower = Follower(registry, database, known=known or NOTHING_KNOWN, saved=saved)
        yield RegistryStore(registry, rollouts, costs, artifacts, registrations, follower, intake, area)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _limits(said: RegistrySettings) -> RegistrationLimits:
    return RegistrationLimits(
        bundle=BundleLimits(size_bytes=said.max_bundle_mib << 20), pace=Pace(stall_s=said.stall_s)
    )


async def tidy(store: RegistryStore, *, orphan_age_s: float) -> None:
    """Remove files that no version needs, now and then, until it is cancelled."""
    while True:
        try:
            collected = await collect_orphans(store.registry, store.artifacts, orphan_age_s=orphan_age_s)
            if collected.count:
                log.info("orphans removed", files=collected.count, bytes=collected.size_bytes)
        except ServerError as error:
            log.warning("orphans not looked for", trouble=error.message)
        except Exception:
            log.exception("orphans not looked for: a bug")  # the task's outermost frame; the next time may be better
        await asyncio.sleep(_TIDY_EVERY_S)


async def collect_orphans(registry: Registry, artifacts: ArtifactStore, *, orphan_age_s: float) -> Collected:
    """Remove files older than `orphan_age_s` that no version needs.

    Nothing, if the files are another registry's: nobody has ever written to this one, most often because somebody
    mistyped its URL; or another one has claimed the store. The hash of a registry's first write tells it from others.

    Raises:
        StoreUnavailable: the database or the store cannot be reached.
    """
    now = time.time()  # before what is used is read, as `collect` asks for
    first = await registry.audit(0, limit=1)
    if not first:
        return Collected(0, 0)
    if await artifacts.claim(first[0].hash) != first[0].hash:
        log.warning("orphans not looked for", trouble="the artifact store belongs to another registry")
        return Collected(0, 0)
    return await artifacts.collect(await registry.used_hashes(), older_than_s=orphan_age_s, now=now)
