"""Records of the registry in one line each."""

import datetime as dt
from collections.abc import Mapping

from serinus.config.version_facts import VersionFacts
from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.dtypes import DType
from serinus.core.signature import Signature, TensorSpec
from serinus.core.version import ModelVersion, Version
from serinus.registry.records import (
    ChangeLevel,
    Examination,
    ModelRecord,
    Placement,
    VersionRecord,
    VersionState,
)

NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
PAIR = Signature((TensorSpec("x", DType.FP32, ("n", 4), 0),), (TensorSpec("y", DType.FP32, ("n", 4), 0),))


def manifest_of(text: str = "a", *, path: str = "model.onnx") -> Manifest:
    """One file whose hash is made of one hexadecimal digit."""
    return Manifest(path, (ArtifactFile(path, text * 64, 100),))


def version_record(
    version: str = "1.0.0",
    number: int = 1,
    *,
    model: str = "m",
    signature: Signature = PAIR,
    facts: VersionFacts | None = None,
    placement: Placement = Placement.FOLLOW,
    state: VersionState = VersionState.ACTIVE,
    tags: Mapping[str, str] | None = None,
    notes: str = "",
    report: Mapping[str, object] | None = None,
    change: ChangeLevel = ChangeLevel.FIRST,
) -> VersionRecord:
    """A version of which only what matters is said."""
    return VersionRecord(
        identity=ModelVersion(model, Version.parse(version), number),
        manifest=manifest_of(f"{number % 16:x}"),
        facts=facts or VersionFacts(),
        examination=Examination(signature),
        change=change,
        is_forced=False,
        tags=tags or {},
        notes=notes,
        report=report or {},
        state=state,
        placement=placement,
        created_at=NOON,
        created_by="ann",
        revision=number,
    )


def model_record(*versions: VersionRecord, aliases: Mapping[str, int] | None = None, name: str = "m") -> ModelRecord:
    """A model; aliases by the number of their version."""
    by_number = {record.identity.number: record.identity for record in versions}
    return ModelRecord(
        name=name,
        versions=tuple(sorted(versions, key=lambda record: -record.identity.number)),
        aliases={alias: by_number[number] for alias, number in (aliases or {}).items()},
        created_at=NOON,
        revision=max((record.revision for record in versions), default=1),
    )
