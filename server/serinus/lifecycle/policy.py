"""What to do next so that what serves becomes what is wanted, and there is always something that serves meanwhile.

Pure: no clock, no tasks, no I/O. Whoever acts takes a snapshot, does what `next_actions` says, and asks again when
something has changed: a load ended, the plan is another, or the time of `next_retry_s` has come. The same snapshot
always gives the same actions, and where nothing is to be done it gives none.

1. A version that is not wanted goes when a wanted one is ready, or when none is wanted.
2. An alias moves when its new version is ready, and before its old one goes. While its new version is on its way, or
   cannot be loaded, the old one stays, whatever else is ready.
3. A load that failed is not tried again until the plan changes, or its time has come.
4. A version that was unloaded to make room stays away until it is asked for, or another has to wait for it.
"""

import dataclasses
from collections.abc import Iterator, Mapping

from serinus.config.models import VersionSpec
from serinus.core.errors import ServerError, StoreFull, StoreUnavailable
from serinus.core.version import ModelVersion
from serinus.lifecycle.plan import ModelPlan

NO_ROOM = "NO_MEMORY_BUDGET"
"""Reason of a load that would take more memory than loaded versions may."""
LOADS_STUCK = "LOADS_STUCK"
"""Reason of a load that was refused because earlier ones never came back."""
QUARANTINED = "QUARANTINED"
"""Reason of a load that is refused because processes died while the version was at work."""

FIRST_RETRY_S = 5.0  # a store that restarts is back by then
LONGEST_RETRY_S = 300.0  # nobody waits longer for a store that is back


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """Begin to load a version; it takes the place of an older load of the same version."""

    spec: VersionSpec


@dataclasses.dataclass(frozen=True, slots=True)
class Cancel:
    """Give up a load that is under way."""

    spec: VersionSpec


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """Let an alias mean `version` from now on; nothing, if that is None."""

    alias: str
    version: ModelVersion | None


@dataclasses.dataclass(frozen=True, slots=True)
class Unload:
    """Let no new call in, and close the version when those inside are answered."""

    version: ModelVersion


Action = Cancel | Point | Unload | Load


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why a version could not be loaded.

    Attributes:
        error: For whoever asks.
        tries: How often it was tried since the plan changed.
        retry_at: When to try again, on the clock of `Snapshot.now`; None: not while the plan is the same.
    """

    error: ServerError
    tries: int
    retry_at: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """One model at one moment.

    Attributes:
        plan: What is wanted.
        now: Seconds, on any clock.
        ready: What serves, by what it was loaded from; each number once.
        loading: Loads under way; each number once.
        failed: Loads that failed since the plan changed, by number.
        asleep: Numbers of wanted versions that were unloaded to make room.
        aliases: Version by alias, as calls see it now.
    """

    plan: ModelPlan
    now: float = 0.0
    ready: tuple[VersionSpec, ...] = ()
    loading: tuple[VersionSpec, ...] = ()
    failed: Mapping[int, Failure] = dataclasses.field(default_factory=dict)
    asleep: frozenset[int] = frozenset()
    aliases: Mapping[str, ModelVersion] = dataclasses.field(default_factory=dict)


def next_actions(snapshot: Snapshot) -> tuple[Action, ...]:
    """What to do now, in the order in which it is to be done."""
    wanted = {spec.identity.number: spec for spec in snapshot.plan.versions}
    ready = {spec.identity.number: spec.identity for spec in snapshot.ready}
    leaving = ready.keys() - wanted.keys() - _held(snapshot)
    return (
        *(Cancel(spec) for spec in snapshot.loading if wanted.get(spec.identity.number) != spec),
        *_points(snapshot, staying=frozenset(ready.keys() - leaving)),
        *(Unload(ready[number]) for number in sorted(leaving)),
        *_loads(snapshot),
    )


def next_retry_s(snapshot: Snapshot) -> float | None:
    """When a failed load is to be tried again, on the snapshot's clock; None if none is."""
    failures = [snapshot.failed.get(spec.identity.number) for spec in _missing(snapshot)]
    times = [failure.retry_at for failure in failures if failure is not None]
    return min((time for time in times if time is not None), default=None)


def failed(error: ServerError, before: Failure | None, now: float) -> Failure:
    """What to remember of a load that failed just now.

    Only what may pass by itself is tried again, ever more rarely: a file that cannot be served stays what it is.
    """
    tries = 1 if before is None else before.tries + 1
    may_pass = isinstance(error, StoreUnavailable | StoreFull) or error.reason in {NO_ROOM, LOADS_STUCK}
    return Failure(error, tries, now + _backoff_s(tries) if may_pass else None)


def _backoff_s(tries: int) -> float:
    return min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(tries - 1, 16))


def _held(snapshot: Snapshot) -> frozenset[int]:
    """Numbers of what serves and must go on, wanted or not, because what is to take its place is not ready."""
    ready = frozenset(spec.identity.number for spec in snapshot.ready)
    wanted = frozenset(spec.identity.number for spec in snapshot.plan.versions)
    if wanted and not ready & wanted:
        return ready
    return frozenset(
        now.number
        for alias, now in snapshot.aliases.items()
        if (target := snapshot.plan.aliases.get(alias)) is not None
        and target.number in wanted
        and target.number not in ready
    )


def _points(snapshot: Snapshot, *, staying: frozenset[int]) -> Iterator[Point]:
    """Aliases that mean another version from now on; `staying` are the numbers of what serves and goes on."""
    wanted = frozenset(spec.identity.number for spec in snapshot.plan.versions)
    # A version that sleeps, or wakes, keeps its aliases: no other version answers in its place.
    there = staying | wanted
    for alias in sorted(snapshot.aliases.keys() | snapshot.plan.aliases.keys()):
        target, current = snapshot.plan.aliases.get(alias), snapshot.aliases.get(alias)
        if target is not None and target.number in staying:
            if target != current:
                yield Point(alias, target)
        elif current is not None and (target is None or current.number not in there):
            yield Point(alias, None)


def _loads(snapshot: Snapshot) -> Iterator[Load]:
    for spec in _missing(snapshot):
        failure = snapshot.failed.get(spec.identity.number)
        if failure is None or (failure.retry_at is not None and failure.retry_at <= snapshot.now):
            yield Load(spec)


def _missing(snapshot: Snapshot) -> Iterator[VersionSpec]:
    """What is wanted, neither there nor on its way, and not asleep, in the order in which it is to be loaded."""
    asleep = snapshot.asleep - _needed(snapshot)
    for spec in snapshot.plan.in_order():
        if spec not in snapshot.ready and spec not in snapshot.loading and spec.identity.number not in asleep:
            yield spec


def _needed(snapshot: Snapshot) -> frozenset[int]:
    """Numbers of versions that something waits for: an alias that is to move, or an unwanted version that is to go."""
    ready = frozenset(spec.identity.number for spec in snapshot.ready)
    wanted = frozenset(spec.identity.number for spec in snapshot.plan.versions)
    if ready and not ready & wanted:
        return wanted
    return frozenset(
        target.number for alias, target in snapshot.plan.aliases.items() if snapshot.aliases.get(alias) != target
    )
