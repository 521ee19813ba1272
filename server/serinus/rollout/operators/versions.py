"""What rollouts need to know of what is registered; `app` plugs it in."""

from typing import Protocol

from serinus.core.version import ModelVersion


class ModelVersions(Protocol):
    """The versions of one model at one revision of it."""

    @property
    def revision(self) -> int:
        """Of the model."""
        ...

    @property
    def stable(self) -> ModelVersion | None:
        """What its alias `stable` names."""
        ...

    def select(self, selector: str) -> ModelVersion:
        """The version that `selector` means; NotFound or InvalidInput if it means none."""
        ...

    def slo_p99_s(self, version: ModelVersion) -> float | None:
        """The latency that callers of that version were promised, in seconds; None for no promise."""
        ...

    def incompatibility(self, baseline: ModelVersion, candidate: ModelVersion) -> str:
        """Why callers of `baseline` cannot be served by `candidate`, a sentence; "" if they can."""
        ...


class Versions(Protocol):
    """What is registered."""

    async def of(self, model: str) -> ModelVersions:
        """A model as it is now, not as it was a moment ago; NotFound if there is none."""
        ...
