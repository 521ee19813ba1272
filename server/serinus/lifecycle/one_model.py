"""One model: what is wanted of it, what is loaded, and the tasks by which the one becomes the other."""

import asyncio
from collections.abc import Mapping
from typing import assert_never

from serinus.config.models import VersionSpec
from serinus.core.errors import ModelRejected, ServerError
from serinus.core.selector import STABLE
from serinus.core.version import ModelVersion
from serinus.lifecycle.loads import Surroundings, load_version
from serinus.lifecycle.memory import Resident
from serinus.lifecycle.plan import ModelPlan
from serinus.lifecycle.policy import (
    Cancel,
    Failure,
    Load,
    Point,
    Snapshot,
    Unload,
    failed,
    next_actions,
    next_retry_s,
)
from serinus.lifecycle.servable import Servable
from serinus.lifecycle.servables import Servables
from serinus.lifecycle.states import ModelState, VersionStatus
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.lifecycle")

_EVICTED = "unloaded to make room"
_INTERRUPTED = "the load was interrupted"
_BUG = "the load failed for an unexpected reason; the server's log has it"


class OneModel:
    """The versions of one model; changed on the event loop alone.

    `advance` does what the policy says, and is called whenever something has changed. It never waits: what takes time
    is a task that calls it when it ends. Only `reload` is a transaction: nothing else of the model changes meanwhile.

    Attributes:
        name: Of the model.
        plan: What is wanted.
        aliases: Version by alias, as calls see it.
        asleep: Wanted versions that were unloaded to make room and are not back yet, by number.
        rejected: Why the model could not even be read, or "".
    """

    def __init__(self, name: str, around: Surroundings) -> None:
        self.name = name
        self.plan = ModelPlan(name)
        self.aliases: dict[str, ModelVersion] = {}
        self.asleep: dict[int, ModelVersion] = {}
        self.rejected = ""
        self._around = around
        self._servables = Servables(
            tasks=around.tasks, memory=around.memory, forget=around.forget, is_coming=self._is_coming
        )
        self._known: dict[int, ModelVersion] = {}
        self._loads: dict[int, tuple[VersionSpec, asyncio.Task[None]]] = {}
        self._woken: set[int] = set()
        self._reloading: set[ModelVersion] = set()
        self._failed: dict[int, Failure] = {}
        self._reasons: dict[ModelVersion, str] = {}
        self._changing = asyncio.Lock()
        self._retry: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()

    # What others ask.

    @property
    def ready(self) -> dict[int, Servable]:
        """What serves, by number."""
        return self._servables.ready

    def names(self) -> Mapping[str, ModelVersion]:
        """Version by alias, for calls.

        `stable` is one of them also while its version does not serve: a call that names no version must not reach a
        canary because the version that it means could not be loaded.
        """
        stable = self.plan.aliases.get(STABLE)
        return self.aliases if stable is None else {STABLE: stable, **self.aliases}

    def versions(self) -> list[ModelVersion]:
        """Every version that there is something to say about, highest first."""
        there = {
            **{identity.number: identity for identity in self._servables.closing()},
            **self._known,
            **{number: servable.identity for number, servable in self.ready.items()},
        }
        return sorted(there.values(), key=lambda identity: identity.version, reverse=True)

    def status(self, identity: ModelVersion) -> VersionStatus:
        """What a version is doing."""
        if identity.number in self.ready:
            return VersionStatus(identity, ModelState.READY)
        if self._is_coming(identity):
            return VersionStatus(identity, ModelState.LOADING)
        if identity in self._servables.closing():
            return VersionStatus(identity, ModelState.UNLOADING)
        return VersionStatus(identity, ModelState.UNAVAILABLE, self._reason(identity))

    def failure(self, identity: ModelVersion) -> ServerError | None:
        """Why a version cannot be loaded; None if it serves, nobody has tried, or the next try may go better."""
        found = None if identity.number in self.ready else self._failed.get(identity.number)
        return None if found is None or found.retry_at is not None else found.error

    def _is_coming(self, identity: ModelVersion) -> bool:
        return identity.number in self._loads or identity in self._reloading

    def _reason(self, identity: ModelVersion) -> str:
        if (failure := self._failed.get(identity.number)) is not None:
            return failure.error.message
        return self._reasons.get(identity, "registered, not loaded")

    def residents(self) -> list[Resident]:
        """What serves, as candidates to make room."""
        named = {version.number for version in self.aliases.values()}
        may_come_back = {spec.identity.number for spec in self.plan.versions if self.plan.is_lasting}
        return [
            Resident(
                servable.identity,
                servable.size_bytes,
                servable.last_used_s,
                may_go=number in may_come_back and not servable.calls and not self._reloading,
                is_named=number in named,
            )
            for number, servable in self.ready.items()
        ]

    # How it changes.

    def apply(self, plan: ModelPlan) -> None:
        """Let `plan` be what is wanted, in place of any earlier one."""
        self.rejected = ""
        if plan != self.plan:
            self.plan = plan
            self._failed.clear()
            self._known = {identity.number: identity for identity in plan.identities()}
        self.advance()

    async def reload(self, plan: ModelPlan) -> None:
        """Load all versions of `plan`, whatever is loaded, and let them serve at once when all loads have ended.

        Raises:
            ServerError: of the first one in the plan's order that could not be loaded.
        """
        async with self._changing:
            before = self.plan
            coming = [spec.identity for spec in plan.versions]
            self.rejected = ""
            self._known.update((identity.number, identity) for identity in plan.identities())
            self._reasons.update(dict.fromkeys(coming, _INTERRUPTED))  # unless it ends otherwise
            self._reloading.update(coming)
            for number in list(self._loads):
                self._cancel(number)
            try:
                failures = await self._reload_all(plan)
                if self.plan is before:  # else somebody wants something newer by now
                    self.plan = plan
                    there = {spec.identity.number for spec in plan.versions if spec in self._servables.specs()}
                    self._failed = {number: each for number, each in failures.items() if number not in there}
            finally:
                self._reloading.clear()
                self.advance()
                for identity in coming:
                    self._servables.forget_if_gone(identity)
        for failure in failures.values():
            raise failure.error

    async def _reload_all(self, plan: ModelPlan) -> dict[int, Failure]:
        fresh: list[tuple[VersionSpec, Servable]] = []
        failures: dict[int, Failure] = {}
        try:
            for spec in plan.in_order():
                try:
                    fresh.append((spec, await self._load(spec)))
                except ServerError as error:
                    failures[spec.identity.number] = failed(error, None, self._around.clock())
                    self._reloading.discard(spec.identity)
                    self._reasons[spec.identity] = error.message
        except BaseException:
            for _, servable in fresh:
                self._servables.retire(servable)
            raise
        for spec, servable in fresh:
            self._install(spec, servable)
        return failures

    async def unload(self) -> None:
        """Want nothing of it any more, and wait until the calls inside are answered, those of earlier loads included.

        A caller that stops waiting stops nothing.
        """
        async with self._changing:
            rejected = self.rejected
            self.apply(ModelPlan(self.name, known=tuple(self._known.values())))
            self.rejected = rejected
            await self._servables.closed()

    async def leave(self) -> None:
        """Want nothing of it any more, for good; what closes goes on in its tasks."""
        async with self._changing:
            self.apply(ModelPlan(self.name))

    async def settled(self) -> None:
        """Wait until no load is under way.

        Raises:
            ServerError: of the first version in the plan's order that could not be loaded.
        """
        while self._loads or self._reloading:
            self._settled.clear()
            await self._settled.wait()
        for spec in self.plan.in_order():
            if (failure := self._failed.get(spec.identity.number)) is not None:
                raise failure.error

    async def closed(self) -> None:
        """Wait until everything that closes now is closed."""
        await self._servables.closed()

    def retry(self) -> None:
        """Try again at once what could not be loaded, and load what was unloaded to make room."""
        self._failed.clear()
        self._woken.update(self.asleep)
        self.advance()

    def wake(self, identity: ModelVersion) -> None:
        """Load a version that was unloaded to make room: somebody asks for it."""
        if identity.number in self.asleep and identity.number not in self._woken:
            self._woken.add(identity.number)
            self.advance()

    def keep_out(self, identity: ModelVersion, error: ServerError) -> None:
        """Serve a version no more, and load it no more until somebody asks for it by `retry`, or the plan changes."""
        number = identity.number
        if number in self._loads:
            self._cancel(number)
        if number in self.ready:
            self._drop(identity, error.message)
        self._is_back(number)
        self._known.setdefault(number, identity)
        self._failed[number] = Failure(error, 1, None)
        self.advance()

    def evict(self, identity: ModelVersion) -> None:
        """Unload a version to make room; it stays wanted."""
        log.info("version evicted", model=identity.model, version=identity.version_text)
        self._around.metrics.evicted()
        self.asleep[identity.number] = identity
        self._drop(identity, _EVICTED)
        self._around.publish(self.name)

    # One step.

    def advance(self) -> None:
        """Do what the policy says now."""
        if not self._reloading:
            wanted = {spec.identity.number for spec in self.plan.versions}
            for number in self.asleep.keys() - wanted:
                self._is_back(number)
            self._act()
            self._around.publish(self.name)
            self._plan_retry()
        self._settled.set()

    def _act(self) -> None:
        for action in next_actions(self._snapshot()):
            match action:
                case Cancel():
                    self._cancel(action.spec.identity.number)
                case Point():
                    if action.version is None:
                        del self.aliases[action.alias]
                    else:
                        self.aliases[action.alias] = action.version
                case Unload():
                    self._drop(action.version, "unloaded")
                case Load():
                    task = self._around.tasks.create_task(self._load_alone(action.spec))
                    self._loads[action.spec.identity.number] = action.spec, task
                    self._woken.add(action.spec.identity.number)
                case _:
                    assert_never(action)

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            self.plan,
            self._around.clock(),
            ready=self._servables.specs(),
            loading=tuple(spec for spec, _ in self._loads.values()),
            failed=self._failed,
            asleep=frozenset(self.asleep.keys() - self._woken),
            aliases=self.aliases,
        )

    def _plan_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        snapshot = self._snapshot()
        if (retry_at := next_retry_s(snapshot)) is not None:
            delay_s = max(0.0, retry_at - snapshot.now)
            self._retry = asyncio.get_running_loop().call_later(delay_s, self.advance)

    # One load.

    async def _load_alone(self, spec: VersionSpec) -> None:
        """One load under way, until it is cancelled because something else is wanted."""
        task = asyncio.current_task()
        try:
            outcome = await self._outcome(spec)
            if self._is_under_way(spec.identity.number, task):
                del self._loads[spec.identity.number]
                if isinstance(outcome, Failure):
                    self._is_back(spec.identity.number)
                    self._failed[spec.identity.number] = outcome
                else:
                    self._install(spec, outcome)
                self.advance()
            elif not isinstance(outcome, Failure):
                self._servables.retire(outcome)
        finally:
            self._servables.forget_if_gone(spec.identity)

    async def _outcome(self, spec: VersionSpec) -> "Servable | Failure":
        try:
            return await self._load(spec)
        except ServerError as error:
            return failed(error, self._failed.get(spec.identity.number), self._around.clock())
        except Exception:  # a task's outermost frame: one model must not take the others down
            log.exception("unexpected error", model=self.name, version=spec.identity.version_text)
            return Failure(ModelRejected(_BUG), 1, None)

    def _is_under_way(self, number: int, task: "asyncio.Task[None] | None") -> bool:
        return number in self._loads and self._loads[number][1] is task

    def _cancel(self, number: int) -> None:
        spec, task = self._loads.pop(number)
        self._reasons[spec.identity] = _INTERRUPTED
        task.cancel()

    async def _load(self, spec: VersionSpec) -> Servable:
        try:
            servable = await load_version(self._around, spec)
        except asyncio.CancelledError:
            self._servables.made(spec.identity)  # its counters may be there already
            raise
        self._servables.made(spec.identity)
        return servable

    def _install(self, spec: VersionSpec, servable: Servable) -> None:
        self._failed.pop(spec.identity.number, None)
        self._is_back(spec.identity.number)
        self._servables.install(spec, servable)

    def _is_back(self, number: int) -> None:
        """The version is not away to make room any more: it is there, or cannot be, or is not wanted."""
        self.asleep.pop(number, None)
        self._woken.discard(number)

    def _drop(self, identity: ModelVersion, reason: str) -> None:
        self._reasons[identity] = reason
        self._servables.drop(identity.number)

    def __repr__(self) -> str:
        wanted = [spec.identity.version_text for spec in self.plan.versions]
        return f"<OneModel {self.name} [wanted {wanted}, ready {sorted(self.ready)}, loading {sorted(self._loads)}]>"
