"""How records stand in the tables."""

import functools
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from serinus.config.version_facts import VersionFacts, dump_version_facts, parse_version_facts
from serinus.core.version import ModelVersion, Version
from serinus.registry.records import (
    AuditEntry,
    ChangeLevel,
    Placement,
    VersionRecord,
    VersionState,
)
from serinus.registry.sql.documents import examination_document, examination_of, manifest_document, manifest_of

Row = sa.Row[Any]
Values = Mapping[str, Any]

_PARSED_FACTS = 4096  # more versions than a registry has that anybody looks at; each text is a few hundred bytes


@functools.lru_cache(_PARSED_FACTS)
def facts_of(text: str) -> VersionFacts:
    """The facts that a row or a file holds as YAML."""
    # Reading YAML takes milliseconds, and a version's facts never change.
    return parse_version_facts(text)


def version_values(record: VersionRecord) -> Values:
    """The row of `versions` for `record`."""
    return {
        "model": record.identity.model,
        "number": record.identity.number,
        "version": record.identity.version_text,
        "state": record.state.value,
        "placement": record.placement.value,
        "manifest": manifest_document(record.manifest),
        "digest": record.manifest.digest,
        "facts": dump_version_facts(record.facts),
        "examination": examination_document(record.examination),
        "report": dict(record.report),
        "tags": dict(record.tags),
        "notes": record.notes,
        "change": record.change.value,
        "is_forced": record.is_forced,
        "created_at": record.created_at,
        "created_by": record.created_by,
        "revision": record.revision,
    }


def version_record(row: Row) -> VersionRecord:
    """The record that `version_values` wrote; may take milliseconds."""
    values = row._mapping  # noqa: SLF001 - this is how SQLAlchemy names its public view
    return VersionRecord(
        identity=ModelVersion(values["model"], Version.parse(values["version"]), values["number"]),
        manifest=manifest_of(values["manifest"]),
        facts=facts_of(values["facts"]),
        examination=examination_of(values["examination"]),
        change=ChangeLevel(values["change"]),
        is_forced=values["is_forced"],
        tags=values["tags"],
        notes=values["notes"],
        report=values["report"],
        state=VersionState(values["state"]),
        placement=Placement(values["placement"]),
        created_at=values["created_at"],
        created_by=values["created_by"],
        revision=values["revision"],
    )


def audit_values(entry: AuditEntry) -> Values:
    """The row of `audit` for `entry`."""
    return {
        "revision": entry.revision,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "model": entry.model,
        "version": entry.version,
        "before": dict(entry.before),
        "after": dict(entry.after),
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
    }


def audit_entry(row: Row) -> AuditEntry:
    """The entry that `audit_values` wrote."""
    return AuditEntry(**row._asdict())
