"""Keeps what this server serves in step with what is registered."""

from collections.abc import Callable, Collection
from typing import Protocol

from serinus.app.declared_fallback import with_declared_fallback
from serinus.app.plans import plan_of
from serinus.core.traffic import NO_TRAFFIC, Traffic
from serinus.lifecycle.plan import ModelPlan
from serinus.registry.records import ModelRecord, Snapshot
from serinus.registry.wanted import FollowMode
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.following")


class Applies(Protocol):
    """Serves what is wanted; `lifecycle.Models` does."""

    def apply(self, plan: ModelPlan) -> None:
        """Let `plan` be what is wanted of its model; returns at once."""
        ...


Route = Callable[[str, Traffic], None]
"""Lets what was decided about the calls of a model be in force."""


class Following:
    """Tells `models` what the registry wants of each model, and `route` what was decided about its calls.

    Attributes:
        models: Serves it.
        route: Sends the calls.
        mode: What decides which versions are wanted.
        is_taken: Whether a name belongs to a model that did not come from the registry; that one goes on serving.
    """

    def __init__(self, models: Applies, *, route: Route, mode: FollowMode, is_taken: Callable[[str], bool]) -> None:
        self._models = models
        self._route = route
        self._mode = mode
        self._is_taken = is_taken
        self._applied: dict[str, ModelRecord] = {}
        self._revision = 0

    def __contains__(self, model: str) -> bool:
        return model in self._applied

    def records(self) -> Collection[ModelRecord]:
        """All that this server acts by."""
        return self._applied.values()

    def record(self, model: str) -> ModelRecord | None:
        """What this server acts by; None for a model that the registry does not have, as far as it knows."""
        return self._applied.get(model)

    def apply(self, snapshot: Snapshot) -> None:
        """Want what `snapshot` says of every model that it changes."""
        if snapshot.revision < self._revision:
            # The database lost its last writes: what we remember of them is no more.
            log.warning("registry went back", known=self._revision, found=snapshot.revision)
            self._applied = {name: record for name, record in self._applied.items() if name not in snapshot.models}
            for name in list(self._applied):
                self._drop(name)
        self._revision = snapshot.revision
        for name, record in snapshot.models.items():
            if self._is_news(name, record, snapshot.revision):
                self._want(record)
        for name, known in list(self._applied.items()):
            if name not in snapshot.models and known.revision <= snapshot.revision:
                self._drop(name)

    def _is_news(self, name: str, record: ModelRecord, revision: int) -> bool:
        """Whether a snapshot of that revision knows better than we do what is wanted of a model."""
        known = self._applied.get(name)
        if known is None or known is record:
            return known is None
        # 1. An operator's write was applied before the snapshot that holds it was read. 2. It is older than the
        # snapshot, which has another model: a database that lost writes has gone on to other ones since.
        return known.revision <= revision and known != record

    def apply_model(self, record: ModelRecord) -> None:
        """Want what `record` says of one model, unless something newer is known: whoever read it may come late."""
        known = self._applied.get(record.name)
        if known is None or known.revision <= record.revision:
            self._want(record)

    def _want(self, record: ModelRecord) -> None:
        if self._is_taken(record.name):
            if record.name not in self._applied:
                log.warning("model ignored", model=record.name, reason="the operator named another model so")
        else:
            # One after the other without a pause: no call sees an alias moved and a split that should be gone.
            wanted = with_declared_fallback(record)
            self._models.apply(plan_of(wanted, self._mode))
            self._route(record.name, wanted.traffic)
        self._applied[record.name] = record

    def _drop(self, name: str) -> None:
        del self._applied[name]
        if not self._is_taken(name):
            self._models.apply(ModelPlan(name))
            self._route(name, NO_TRAFFIC)
