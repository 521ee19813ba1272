"""Turns what is registered into what is to be served."""

from serinus.config.models import VersionSpec
from serinus.lifecycle.plan import ModelPlan
from serinus.registry.records import ModelRecord, VersionRecord
from serinus.registry.wanted import FollowMode, wanted


def plan_of(model: ModelRecord, mode: FollowMode) -> ModelPlan:
    """What this server is to serve of a registered model."""
    return ModelPlan(
        model.name,
        versions=tuple(version_spec(record) for record in wanted(model, mode)),
        aliases=model.aliases,
        known=tuple(record.identity for record in model.versions),
    )


def version_spec(record: VersionRecord) -> VersionSpec:
    """How a registered version is loaded."""
    return VersionSpec(
        record.identity,
        record.manifest,
        record.facts.serving,
        goldens=tuple(golden.name for golden in record.examination.goldens),
        tolerance=record.facts.tolerance,
    )
