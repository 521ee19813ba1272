"""Reads records inside a transaction: of one model, of all, or of those that changed."""

import dataclasses
import datetime as dt
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.config.errors import ConfigError
from serinus.core.errors import ServerError
from serinus.core.version import ModelVersion
from serinus.registry.records import AuditEntry, ModelRecord, Snapshot, VersionRecord, VersionState
from serinus.registry.sql import tables
from serinus.registry.sql.audit import EMPTY, Head
from serinus.registry.sql.rows import Row, audit_entry, version_record
from serinus.registry.sql.traffic_documents import readable_traffic
from serinus.telemetry.logs import get_logger
from serinus.threads import to_thread

ROWS_AT_ONCE = 200  # decoding them takes a few milliseconds, which is how long others may have to wait

_HIGHEST_REVISION = (1 << 63) - 1  # that a column holds; callers may ask for what is behind a higher one
_log = get_logger(__name__)
_DELETED = VersionState.DELETED.value


async def read_head(connection: AsyncConnection) -> Head:
    """The end of the audit, which is the registry's revision."""
    last = sa.select(tables.audit.c.revision, tables.audit.c.hash).order_by(tables.audit.c.revision.desc()).limit(1)
    row = (await connection.execute(last)).one_or_none()
    return EMPTY if row is None else Head(row.revision, row.hash)


async def read_model(connection: AsyncConnection, name: str) -> ModelRecord | None:
    """The model of that name, or None."""
    return next(iter(await _complete(connection, await _model_rows(connection, tables.models.c.name == name))), None)


async def read_models(connection: AsyncConnection, after_name: str, limit: int) -> Sequence[ModelRecord]:
    """The first `limit` models behind `after_name`, by name."""
    return await _complete(connection, await _model_rows(connection, tables.models.c.name > after_name, limit))


async def read_snapshot(connection: AsyncConnection) -> Snapshot:
    """Everything."""
    return await _read_since(connection, await read_head(connection), Snapshot(0, {}))


async def read_refreshed(connection: AsyncConnection, old: Snapshot) -> Snapshot:
    """What the registry is since `old`, read anew where `old` is no part of its past; `old` if nothing was written."""
    head = await read_head(connection)
    if old.is_whole and _is_of(head, old):
        return old
    if await _is_past(connection, head, old):
        return await _read_since(connection, head, old)
    _log.error(
        "registry went back: its database lost writes that were acknowledged",
        known_revision=old.revision,
        revision=head.revision,
    )
    return await _read_since(connection, head, Snapshot(0, {}))


async def read_audit(
    connection: AsyncConnection, after_revision: int, limit: int, model: str = ""
) -> Sequence[AuditEntry]:
    """The first `limit` entries behind `after_revision`; of one model, unless that is ""."""
    wanted = tables.audit.c.revision > min(after_revision, _HIGHEST_REVISION)
    if model:
        wanted &= tables.audit.c.model == model
    rows = await connection.execute(
        sa.select(tables.audit).where(wanted).order_by(tables.audit.c.revision).limit(limit)
    )
    return [audit_entry(row) for row in rows]


async def version_rows(
    connection: AsyncConnection, wanted: sa.ColumnElement[bool], columns: Iterable[sa.Column[Any]] = tables.versions.c
) -> AsyncIterator[Sequence[Row]]:
    """The versions that satisfy `wanted`, by model and number, a few hundred at a time; `columns` hold both."""
    place = sa.tuple_(tables.versions.c.model, tables.versions.c.number)
    query = sa.select(*columns).where(wanted).order_by(tables.versions.c.model, tables.versions.c.number)
    query = query.limit(ROWS_AT_ONCE)
    rows = (await connection.execute(query)).all()
    while rows:
        yield rows
        if len(rows) < ROWS_AT_ONCE:
            return
        last = sa.tuple_(sa.literal(rows[-1].model), sa.literal(rows[-1].number))
        rows = (await connection.execute(query.where(place > last))).all()


async def readable(rows: Sequence[Row]) -> Sequence[VersionRecord]:
    """The records of `rows`; one that cannot be read is left out, so that it harms no other."""
    return await to_thread(lambda: [record for row in rows if (record := _record(row)) is not None])


def _record(row: Row) -> VersionRecord | None:
    try:
        return version_record(row)
    except (ConfigError, ServerError, KeyError, TypeError, ValueError) as error:
        _log.error("version left out: its row cannot be read", model=row.model, version=row.version, error=str(error))
        return None


def _is_of(head: Head, old: Snapshot) -> bool:
    return (old.revision, old.head) == (head.revision, head.hash if head.revision else "")


async def _is_past(connection: AsyncConnection, head: Head, old: Snapshot) -> bool:
    # A database that failed over, or was put back from a backup, may have lost what `old` holds.
    if old.revision > head.revision:
        return False
    found = sa.select(tables.audit.c.hash).where(tables.audit.c.revision == old.revision)
    return old.revision == 0 or await connection.scalar(found) == old.head


async def _read_since(connection: AsyncConnection, head: Head, old: Snapshot) -> Snapshot:
    found = dict(old.models)
    after = ""
    changed = tables.models.c.revision > (old.revision if old.is_whole else 0)
    while rows := await _model_rows(connection, changed & (tables.models.c.name > after), ROWS_AT_ONCE):
        for record in await _complete(connection, rows, old.models, old.revision):
            found[record.name] = record
        after = rows[-1].name
    return Snapshot(head.revision, found, head.hash if head.revision else "")


async def _model_rows(
    connection: AsyncConnection, wanted: sa.ColumnElement[bool], limit: int | None = None
) -> Sequence[Row]:
    query = sa.select(tables.models).where(wanted).order_by(tables.models.c.name).limit(limit)
    return (await connection.execute(query)).all()


async def _complete(
    connection: AsyncConnection,
    rows: Sequence[Row],
    old: Mapping[str, ModelRecord] | None = None,
    old_revision: int = 0,
) -> Sequence[ModelRecord]:
    """The models of `rows`; versions that did not change since `old_revision` are those of `old`."""
    if not rows:
        return ()
    known = {row.name: dict(old[row.name].version) if old and row.name in old else {} for row in rows}
    ours = tables.versions.c.model.in_(list(known))
    async for page in version_rows(connection, ours & (tables.versions.c.revision > old_revision)):
        for gone in page:
            if gone.state == _DELETED:
                known[gone.model].pop(gone.number, None)
        for record in await readable([row for row in page if row.state != _DELETED]):
            known[record.identity.model][record.identity.number] = record
    aliases = await _aliases(connection, known)
    return [
        ModelRecord(
            name=row.name,
            versions=tuple(record for _, record in sorted(known[row.name].items(), reverse=True)),
            aliases=aliases[row.name],
            created_at=row.created_at,
            revision=row.revision,
            traffic=readable_traffic(
                row.name, row.traffic, {number: record.identity for number, record in known[row.name].items()}
            ),
        )
        for row in rows
    ]


async def _aliases(
    connection: AsyncConnection, known: Mapping[str, Mapping[int, VersionRecord]]
) -> Mapping[str, Mapping[str, ModelVersion]]:
    query = sa.select(tables.aliases).where(tables.aliases.c.model.in_(list(known))).order_by(tables.aliases.c.alias)
    aliases: dict[str, dict[str, ModelVersion]] = {name: {} for name in known}
    for row in await connection.execute(query):
        if (named := known[row.model].get(row.number)) is not None:
            aliases[row.model][row.alias] = named.identity
    return aliases


@dataclasses.dataclass(frozen=True, slots=True)
class ModelHead:
    """What the table `models` says of one model."""

    next_number: int
    created_at: dt.datetime
    revision: int


async def read_model_head(connection: AsyncConnection, name: str) -> ModelHead | None:
    """The model's own row, or None."""
    row = next(iter(await _model_rows(connection, tables.models.c.name == name)), None)
    return None if row is None else ModelHead(row.next_number, row.created_at, row.revision)
