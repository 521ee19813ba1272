"""How the registry's records look on the wire."""

import datetime as dt
from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from serinus.config.version_facts import dump_version_facts
from serinus.core.artifact import ArtifactFile
from serinus.core.version import ModelVersion
from serinus.registry.records import AuditEntry, ChangeLevel, ModelRecord, Placement, VersionRecord, VersionState
from serinus.registry.sql.audit import canonical_json
from serinus.transport.predict_codec import tensor_info
from serinus_api.v1 import admin_pb2
from serinus_api.v1 import registry_pb2 as pb

_STATES = {
    VersionState.ACTIVE: pb.VERSION_STATE_ACTIVE,
    VersionState.ARCHIVED: pb.VERSION_STATE_ARCHIVED,
    VersionState.DELETED: pb.VERSION_STATE_UNSPECIFIED,  # nobody is shown one
}
_CHANGES = {
    ChangeLevel.FIRST: pb.CHANGE_LEVEL_FIRST,
    ChangeLevel.PATCH: pb.CHANGE_LEVEL_PATCH,
    ChangeLevel.MINOR: pb.CHANGE_LEVEL_MINOR,
    ChangeLevel.MAJOR: pb.CHANGE_LEVEL_MAJOR,
}
_PLACEMENTS = {
    Placement.FOLLOW: pb.PLACEMENT_FOLLOW,
    Placement.LOADED: pb.PLACEMENT_LOADED,
    Placement.UNLOADED: pb.PLACEMENT_UNLOADED,
}


def whole_version(record: VersionRecord, aliases: Mapping[str, ModelVersion]) -> pb.ModelVersion:
    """A version with its facts, whose YAML takes milliseconds to write: not for the event loop.

    Args:
        record: Of the version.
        aliases: Of its model.
    """
    answer = brief_version(record, aliases)
    answer.facts_yaml = dump_version_facts(record.facts)
    return answer


def brief_version(record: VersionRecord, aliases: Mapping[str, ModelVersion]) -> pb.ModelVersion:
    """A version without the YAML of its facts."""
    identity, facts, examination = record.identity, record.facts, record.examination
    return pb.ModelVersion(
        model=identity.model,
        version=identity.version_text,
        version_number=identity.number,
        state=_STATES[record.state],
        files=[artifact_file(file) for file in record.manifest.files],
        main=record.manifest.main,
        digest=record.manifest.digest,
        framework=facts.framework,
        metrics=facts.metrics,
        tags=record.tags,
        inputs=[tensor_info(spec) for spec in examination.signature.inputs],
        outputs=[tensor_info(spec) for spec in examination.signature.outputs],
        notes=examination.notes,
        goldens=[pb.GoldenResult(name=each.name, max_difference=each.max_difference) for each in examination.goldens],
        change=_CHANGES[record.change],
        forced=record.is_forced,
        placement=_PLACEMENTS[record.placement],
        aliases=sorted(alias for alias, named in aliases.items() if named == identity),
        created_at=timestamp(record.created_at),
        created_by=record.created_by,
        revision=record.revision,
        quantized_from=facts.quantized_from,
        trained_from=facts.trained_from,
    )


def model_message(record: ModelRecord) -> pb.RegisteredModel:
    """A model with its versions, without their facts."""
    return pb.RegisteredModel(
        name=record.name,
        versions=[brief_version(each, record.aliases) for each in record.versions],
        aliases={alias: named.version_text for alias, named in record.aliases.items()},
        created_at=timestamp(record.created_at),
        revision=record.revision,
    )


def artifact_file(file: ArtifactFile) -> pb.ArtifactFile:
    """One file of a version."""
    return pb.ArtifactFile(path=file.path, sha256=file.sha256, size_bytes=file.size_bytes)


def change_message(entry: AuditEntry) -> pb.Change:
    """A write, for those who follow the registry."""
    return pb.Change(
        revision=entry.revision,
        at=timestamp(entry.at),
        actor=entry.actor,
        action=entry.action,
        model=entry.model,
        version=entry.version,
        before_json=canonical_json(entry.before),
        after_json=canonical_json(entry.after),
    )


def audit_message(entry: AuditEntry) -> admin_pb2.AuditEntry:
    """A write and its place in the chain, for those who check it."""
    return admin_pb2.AuditEntry(
        revision=entry.revision,
        at=timestamp(entry.at),
        actor=entry.actor,
        action=entry.action,
        model=entry.model,
        version=entry.version,
        before_json=canonical_json(entry.before),
        after_json=canonical_json(entry.after),
        previous_hash=entry.previous_hash,
        hash=entry.hash,
    )


def timestamp(at: dt.datetime) -> Timestamp:
    """A moment in UTC."""
    found = Timestamp()
    found.FromDatetime(at)
    return found


def timestamp_of(unix_s: float) -> Timestamp:
    """A moment in seconds since 1970."""
    found = Timestamp()
    found.FromMicroseconds(int(unix_s * 1e6))
    return found
