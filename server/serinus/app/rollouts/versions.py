"""What rollouts ask the registry about the versions of a model."""

from typing import Protocol

from serinus.core.selector import STABLE
from serinus.core.version import ModelVersion
from serinus.registry.records import ChangeLevel, ModelRecord
from serinus.registry.sql.writing import selected
from serinus.registry.versioning.compatibility import change_between


class Models(Protocol):
    """What is registered; `registry.registry.Registry` is one."""

    async def model(self, name: str) -> ModelRecord:
        """The model of that name; NotFound if there is none."""
        ...


class RegisteredVersions:
    """The versions of one model as the registry has them; a `rollout.operators.versions.ModelVersions`."""

    def __init__(self, record: ModelRecord) -> None:
        self._record = record

    @property
    def revision(self) -> int:
        """Of the model."""
        return self._record.revision

    @property
    def stable(self) -> ModelVersion | None:
        """What its alias `stable` names."""
        return self._record.aliases.get(STABLE)

    def select(self, selector: str) -> ModelVersion:
        """The version that `selector` means; NotFound or InvalidInput if it means none."""
        return selected(self._record, selector).identity

    def slo_p99_s(self, version: ModelVersion) -> float | None:
        """The latency that callers of that version were promised, in seconds; None for no promise."""
        return self._record.version[version.number].facts.serving.slo.p99_s

    def incompatibility(self, baseline: ModelVersion, candidate: ModelVersion) -> str:
        """Why callers of `baseline` cannot be served by `candidate`, a sentence; "" if they can."""
        before, after = (self._record.version[each.number].examination.signature for each in (baseline, candidate))
        change = change_between(before, after)
        if change.level is not ChangeLevel.MAJOR:
            return ""
        return f"callers of {baseline} cannot be served by {candidate}: {'; '.join(change.differences)}"


class RolloutVersions:
    """What is registered; a `rollout.operators.versions.Versions`."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def of(self, model: str) -> RegisteredVersions:
        """A model as it is now; NotFound if there is none."""
        return RegisteredVersions(await self._models.model(model))
