"""Reads rollouts, their journal, and what servers and the judge keep beside it."""

import re
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.windows import ServerWindow
from serinus.registry.records import Page
from serinus.registry.rollout_records import Document, JournalEntry, RolloutRecord
from serinus.registry.sql import tables
from serinus.registry.sql.absent import no_rollout
from serinus.registry.sql.listing import number_before
from serinus.registry.sql.rows import Row
from serinus.registry.sql.window_documents import window_of
from serinus.telemetry.logs import get_logger

_ID: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{tables.LONGEST_ID}}}", re.ASCII)
_log = get_logger(__name__)


def can_be_rollout(rollout: str) -> bool:
    """Whether a rollout can have that id: letters, digits, `.`, `_`, `-`; at most 64."""
    return _ID.fullmatch(rollout) is not None


async def read_rollout(connection: AsyncConnection, rollout: str) -> RolloutRecord:
    """The rollout of that id.

    Raises:
        NotFound: there is none.
    """
    row = None
    if can_be_rollout(rollout):
        query = sa.select(tables.rollouts).where(tables.rollouts.c.id == rollout)
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise no_rollout(rollout)
    return _record(row)


async def read_active_of(connection: AsyncConnection, model: str) -> RolloutRecord | None:
    """The rollout of `model` that is under way, or None."""
    table = tables.rollouts
    row = (await connection.execute(sa.select(table).where(table.c.model == model, table.c.is_active))).one_or_none()
    return None if row is None else _record(row)


async def read_active(connection: AsyncConnection) -> Sequence[RolloutRecord]:
    """All that are under way, the one that started first before others."""
    table = tables.rollouts
    rows = await connection.execute(sa.select(table).where(table.c.is_active).order_by(table.c.place))
    return [_record(row) for row in rows]


async def read_page(
    connection: AsyncConnection, model: str, page_token: str, limit: int, *, only_active: bool
) -> Page[RolloutRecord]:
    """The first `limit` rollouts, newest first; of one model, unless that is ""."""
    table = tables.rollouts
    query = sa.select(table).where(table.c.place < number_before(page_token))
    if model:
        query = query.where(table.c.model == model)
    if only_active:
        query = query.where(table.c.is_active)
    query = query.order_by(table.c.place.desc()).limit(limit + 1)
    rows = (await connection.execute(query)).all()
    page = rows[:limit]
    return Page(tuple(_record(row) for row in page), str(page[-1].place) if len(rows) > len(page) > 0 else "")


async def read_journal(connection: AsyncConnection, rollout: str) -> Sequence[JournalEntry]:
    """Everything that happened to a rollout, in order.

    Raises:
        NotFound: there is no such rollout.
    """
    await read_rollout(connection, rollout)
    table = tables.rollout_journal
    return await _entries(connection, _journal().where(table.c.rollout == rollout).order_by(table.c.number))


async def read_journal_after(connection: AsyncConnection, place: int, limit: int) -> Sequence[JournalEntry]:
    """The first `limit` entries of all rollouts behind `place`."""
    table = tables.rollout_journal
    return await _entries(connection, _journal().where(table.c.place > place).order_by(table.c.place).limit(limit))


async def read_last_place(connection: AsyncConnection) -> int:
    """Of the newest entry of all journals; 0 if there is none."""
    return int(await connection.scalar(sa.select(sa.func.max(tables.rollout_journal.c.place))) or 0)


async def read_windows(connection: AsyncConnection, rollout: str) -> Sequence[ServerWindow]:
    """What every server has published last, by server; what cannot be read is left out, as the log says."""
    await read_rollout(connection, rollout)
    table = tables.rollout_windows
    rows = await connection.execute(sa.select(table).where(table.c.rollout == rollout).order_by(table.c.server))
    return [window for row in rows if (window := _window(row)) is not None]


async def read_evidence(connection: AsyncConnection, rollout: str) -> Document | None:
    """What the judge has kept, or None."""
    await read_rollout(connection, rollout)
    table = tables.rollout_evidence
    found: Document | None = await connection.scalar(sa.select(table.c.document).where(table.c.rollout == rollout))
    return found


def _record(row: Row) -> RolloutRecord:
    return RolloutRecord(row.id, row.model, row.status, row.is_active, row.document, row.started_at, row.revision)


def _journal() -> sa.Select[tuple[object, ...]]:
    table, rollouts = tables.rollout_journal, tables.rollouts
    return sa.select(*table.c, rollouts.c.model).join(rollouts, table.c.rollout == rollouts.c.id)


async def _entries(connection: AsyncConnection, query: sa.Select[tuple[object, ...]]) -> Sequence[JournalEntry]:
    return [JournalEntry(**row._asdict()) for row in await connection.execute(query)]


def _window(row: Row) -> ServerWindow | None:
    try:
        return window_of(row.rollout, row.server, row.document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        _log.error("window left out: it cannot be read", rollout=row.rollout, error=type(error).__name__)
        return None
