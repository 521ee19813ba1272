"""Registers a version: its number, its aliases, and what the same name may be registered with again."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from serinus.core.errors import AlreadyExists, Conflict
from serinus.core.selector import STABLE
from serinus.core.version import ModelVersion
from serinus.registry.records import Draft, Placement, Registered, VersionRecord, VersionState
from serinus.registry.sql import tables
from serinus.registry.sql.reads import ModelHead, read_model_head
from serinus.registry.sql.rows import Row, version_record, version_values
from serinus.registry.sql.traffic_changes import check_no_rollout
from serinus.registry.sql.writing import Writing, check_revision

REGISTER = "version.register"

_CHANGES_WHAT_IS_COMPARED = (REGISTER, "version.archive", "version.restore", "version.delete")


async def register(
    writing: Writing,
    draft: Draft,
    aliases: Sequence[str],
    *,
    expected_revision: int | None,
    based_on: int | None,
) -> Registered:
    """Register `draft` and set `aliases` to it; see `Registry.register`."""
    head = await read_model_head(writing.connection, draft.model)
    current = 0 if head is None else head.revision
    if (row := await _row(writing, draft)) is not None:
        # Before the revision is looked at: a call that was answered into the void is made again as it was.
        return Registered(_same(row, draft), is_new=False, revision=current)
    check_revision(draft.model, current, expected_revision)
    await _check_nothing_came_between(writing, draft.model, current, based_on)
    record = _record(writing, draft, 1 if head is None else head.next_number)
    wanted = list(aliases)
    if STABLE in wanted:
        await check_no_rollout(writing.connection, draft.model)
    if STABLE not in wanted and await _is_first(writing, draft.model):
        wanted.append(STABLE)
    await _insert(writing, record, head)
    before = await _move(writing, record.identity, wanted)
    await writing.end(
        REGISTER,
        draft.model,
        record.identity.version_text,
        before={"aliases": before} if before else {},
        after={
            "number": record.identity.number,
            "digest": draft.manifest.digest,
            "change": draft.change.value,
            "is_forced": draft.is_forced,
            "quantized_from": draft.facts.quantized_from,
            "aliases": sorted(wanted),
        },
    )
    return Registered(record, is_new=True, revision=writing.revision)


async def _row(writing: Writing, draft: Draft) -> Row | None:
    table = tables.versions
    same_name = (table.c.model == draft.model) & (table.c.version == str(draft.version))
    return (await writing.connection.execute(sa.select(table).where(same_name))).one_or_none()


def _same(row: Row, draft: Draft) -> VersionRecord:
    named = f"{draft.model}@{draft.version}"
    if row.state == VersionState.DELETED.value:
        raise AlreadyExists(f"{named} was deleted, and its name is never used again: choose another number")
    if row.digest != draft.manifest.digest:
        raise AlreadyExists(f"{named} is registered with other files: a version never changes, choose another number")
    record = version_record(row)
    if record.facts != draft.facts:
        raise AlreadyExists(
            f"{named} is registered with the same files and other facts: a version never changes, choose another number"
        )
    return record


async def _check_nothing_came_between(writing: Writing, model: str, current: int, based_on: int | None) -> None:
    if based_on is None:
        return
    table = tables.audit
    since = (table.c.revision > based_on) & (table.c.model == model) & table.c.action.in_(_CHANGES_WHAT_IS_COMPARED)
    newer = await writing.connection.scalar(sa.select(table.c.version).where(since).limit(1))
    if newer is not None:
        raise Conflict(
            f"version {newer} of model {model!r} came or went while this one was compared with those before it",
            current_revision=current,
        )


async def _is_first(writing: Writing, model: str) -> bool:
    # After all versions were deleted the next one is a first one again: nothing else would name it.
    table = tables.versions
    there = (table.c.model == model) & (table.c.state != VersionState.DELETED.value)
    return await writing.connection.scalar(sa.select(table.c.number).where(there).limit(1)) is None


def _record(writing: Writing, draft: Draft, number: int) -> VersionRecord:
    return VersionRecord(
        identity=ModelVersion(draft.model, draft.version, number),
        manifest=draft.manifest,
        facts=draft.facts,
        examination=draft.examination,
        change=draft.change,
        is_forced=draft.is_forced,
        tags=dict(draft.facts.tags),
        notes="",
        report=draft.report,
        state=VersionState.ACTIVE,
        placement=Placement.FOLLOW,
        created_at=writing.at,
        created_by=writing.actor,
        revision=writing.revision,
    )


async def _insert(writing: Writing, record: VersionRecord, head: ModelHead | None) -> None:
    name, following = record.identity.model, record.identity.number + 1
    if head is None:
        values = {"name": name, "next_number": following, "created_at": writing.at, "revision": writing.revision}
        await writing.connection.execute(sa.insert(tables.models).values(values))
    else:
        await writing.connection.execute(
            sa.update(tables.models).where(tables.models.c.name == name).values(next_number=following)
        )
    await writing.connection.execute(sa.insert(tables.versions).values(**version_values(record)))


async def _move(writing: Writing, to: ModelVersion, aliases: Sequence[str]) -> Mapping[str, str]:
    """Set `aliases` to one version; return the versions that they named before, by alias."""
    before: dict[str, str] = {}
    for alias in aliases:
        table, versions = tables.aliases, tables.versions
        this = (table.c.model == to.model) & (table.c.alias == alias)
        named = sa.select(versions.c.version).join(
            table, (versions.c.model == table.c.model) & (versions.c.number == table.c.number)
        )
        if (old := await writing.connection.scalar(named.where(this))) is not None:
            before[alias] = old
        await set_alias_row(writing, to, alias, is_there=old is not None)
    return before


async def set_alias_row(writing: Writing, to: ModelVersion, alias: str, *, is_there: bool) -> None:
    """Write that `alias` names `to`."""
    values = {"number": to.number, "revision": writing.revision}
    table = tables.aliases
    if is_there:
        this = (table.c.model == to.model) & (table.c.alias == alias)
        await writing.connection.execute(sa.update(table).where(this).values(values))
    else:
        await writing.connection.execute(sa.insert(table).values(model=to.model, alias=alias, **values))
