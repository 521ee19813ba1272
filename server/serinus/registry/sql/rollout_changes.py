"""Writes a rollout together with all that is in force because of it."""

import dataclasses
import datetime as dt
from collections.abc import Mapping

import sqlalchemy as sa

from serinus.core.errors import AlreadyExists, Conflict, InvalidInput, Refused
from serinus.core.selector import STABLE
from serinus.core.traffic import Traffic, TrafficSplit
from serinus.registry.records import ModelRecord
from serinus.registry.rollout_records import LeaseRecord, RolloutChange, RolloutRecord
from serinus.registry.sql import tables
from serinus.registry.sql.leases import check_lease
from serinus.registry.sql.registering import set_alias_row
from serinus.registry.sql.rollout_counts import forget_counts
from serinus.registry.sql.rollout_reads import can_be_rollout, read_rollout
from serinus.registry.sql.tables import LONGEST_WORD
from serinus.registry.sql.traffic_changes import (
    check_loadable,
    check_no_rollout,
    check_there,
    is_there,
    save_traffic,
)
from serinus.registry.sql.writing import Writing


async def begin(writing: Writing, rollout: str, model: ModelRecord, change: RolloutChange) -> RolloutRecord:
    """Write a new rollout; see `RolloutStore.begin`."""
    if not can_be_rollout(rollout):
        raise InvalidInput(f"invalid id of a rollout: {rollout[:80]!r}", field="id")
    await check_no_rollout(writing.connection, model.name)
    table = tables.rollouts
    if await writing.connection.scalar(sa.select(table.c.id).where(table.c.id == rollout)) is not None:
        raise AlreadyExists(f"there is a rollout {rollout} already", field="id")
    named = (*(change.split.versions() if change.split else ()), *change.kept)
    check_there(model, named)
    check_loadable(model, named)
    record = _record(rollout, model.name, change, writing, writing.at)
    values = {**dataclasses.asdict(record), "place": writing.revision}
    await writing.connection.execute(sa.insert(table).values(values))
    await _write(writing, model, record, change, action="rollout.start", status="")
    return record


async def write(
    writing: Writing, rollout: str, change: RolloutChange, *, expected_revision: int, lease: LeaseRecord | None
) -> RolloutRecord:
    """Write where a rollout stands now; see `RolloutStore.write`."""
    old = await read_rollout(writing.connection, rollout)
    if lease is not None:
        await check_lease(writing.connection, lease, old.revision)
    if old.revision != expected_revision:
        raise Conflict(
            f"rollout {rollout} is at revision {old.revision}, not at {expected_revision}: somebody moved it, read it"
            " again",
            current_revision=old.revision,
            field="expected_revision",
        )
    if not old.is_active:
        raise Refused(f"rollout {rollout} has ended", reason="ROLLOUT_ENDED", field="id")
    model = await writing.model(old.model, None)
    check_there(model, change.split.versions() if change.split else ())
    record = _record(rollout, old.model, change, writing, old.started_at)
    table = tables.rollouts
    values = {"status": change.status, "is_active": change.is_active, "document": dict(change.document)}
    await writing.connection.execute(
        sa.update(table).where(table.c.id == rollout).values(**values, revision=writing.revision)
    )
    await _write(writing, model, record, change, action=f"rollout.{change.event}"[:LONGEST_WORD], status=old.status)
    return record


def _record(
    rollout: str, model: str, change: RolloutChange, writing: Writing, started_at: dt.datetime
) -> RolloutRecord:
    return RolloutRecord(
        id=rollout,
        model=model,
        status=change.status,
        is_active=change.is_active,
        document=dict(change.document),
        started_at=started_at,
        revision=writing.revision,
    )


async def _write(
    writing: Writing, model: ModelRecord, record: RolloutRecord, change: RolloutChange, *, action: str, status: str
) -> None:
    """What both writes do once the rollout's own row is written; `status` is the one before."""
    traffic = _traffic(model, record, change)
    await save_traffic(writing, model.name, traffic)
    stable = await _move_stable(writing, model, change)
    await _write_entry(writing, record, change)
    if not record.is_active:
        await forget_counts(writing.connection, record.id)
    before = _summary(record.id, status, model.traffic.split, _stable_of(model)) if status else {}
    await writing.end(
        action,
        model.name,
        "" if change.stable is None else change.stable.version_text,
        before=before,
        after=_summary(record.id, record.status, change.split, stable),
    )


def _traffic(model: ModelRecord, record: RolloutRecord, change: RolloutChange) -> Traffic:
    return dataclasses.replace(
        model.traffic,
        split=change.split,
        # One that is gone must not keep a rollout from ending.
        kept=tuple(version for version in change.kept if is_there(model, version)),
        # Nobody could ever take a split back from a rollout that has ended.
        rollout=record.id if change.owns and change.is_active else "",
    )


async def _move_stable(writing: Writing, model: ModelRecord, change: RolloutChange) -> str:
    """Let `stable` name what it is to name from now on; return that version."""
    if change.stable is None:
        return _stable_of(model)
    check_there(model, [change.stable])
    old = model.aliases.get(STABLE)
    if old != change.stable:
        await set_alias_row(writing, change.stable, STABLE, is_there=old is not None)
    return change.stable.version_text


async def _write_entry(writing: Writing, record: RolloutRecord, change: RolloutChange) -> None:
    table = tables.rollout_journal
    last = await writing.connection.scalar(sa.select(sa.func.max(table.c.number)).where(table.c.rollout == record.id))
    values = {
        "place": writing.revision,
        "rollout": record.id,
        "number": int(last or 0) + 1,
        "at": writing.at,
        "actor": writing.actor,
        "event": change.event[:LONGEST_WORD],
        "status": record.status,
        "reason": change.reason.replace("\0", "\ufffd"),  # PostgreSQL ends texts there
        "numbers": dict(change.numbers),
    }
    await writing.connection.execute(sa.insert(table).values(values))


def _stable_of(model: ModelRecord) -> str:
    stable = model.aliases.get(STABLE)
    return "" if stable is None else stable.version_text


def _summary(rollout: str, status: str, split: TrafficSplit | None, stable: str) -> Mapping[str, object]:
    """What the audit says of a rollout; weights in percent by version."""
    arms = () if split is None else split.arms
    return {
        "rollout": rollout,
        "status": status,
        "weights": {arm.version.version_text: arm.weight / 100 for arm in arms},
        "stable": stable,
    }
