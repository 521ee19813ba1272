"""Lets what an author says about fallbacks be in force where no operator has said anything else."""

import dataclasses

from serinus.core.errors import InvalidInput
from serinus.core.traffic import MOST_TARGETS, FallbackPolicy, OtherVersion
from serinus.registry.records import ChangeLevel, ModelRecord, VersionRecord
from serinus.registry.versioning.compatibility import change_between
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.fallback")


def with_declared_fallback(record: ModelRecord) -> ModelRecord:
    """`record` with the fallback that the facts of its stable (or highest) version name, if nobody has set one.

    Only versions of the same model, to which callers of that version can be sent: whether another model fits is checked
    when an operator names it.
    """
    if record.traffic.fallback is not None:
        return record
    primary = record.select("")
    if primary is None or not primary.facts.serving.fallback:
        return record
    targets = [target for said in primary.facts.serving.fallback if (target := _target(record, primary, said))]
    if not targets:
        return record
    policy = FallbackPolicy(tuple(targets[:MOST_TARGETS]))
    return dataclasses.replace(record, traffic=dataclasses.replace(record.traffic, fallback=policy))


def _target(record: ModelRecord, primary: VersionRecord, said: str) -> OtherVersion | None:
    model, at, selector = said.rpartition("@")
    if at and model != record.name:
        return None
    try:
        found = record.select(selector)
    except InvalidInput:
        found = None
    if found is None or found.identity == primary.identity:
        return None
    change = change_between(primary.examination.signature, found.examination.signature)
    if change.level is ChangeLevel.MAJOR:
        log.warning("fallback left out", model=record.name, version=found.identity.version_text, reason="does not fit")
        return None
    return OtherVersion(record.name, selector)
