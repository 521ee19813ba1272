"""Writes what servers say of a rollout while it is under way; nothing here is a change of the registry."""

import hashlib
from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.windows import ServerWindow
from serinus.registry.rollout_records import Document, LeaseRecord
from serinus.registry.sql import tables
from serinus.registry.sql.leases import check_lease
from serinus.registry.sql.rollout_reads import read_rollout
from serinus.registry.sql.window_documents import window_document

MOST_REPORTS: Final = 100_000
"""Reports of one rollout that are remembered: a sender that repeats itself does so within minutes."""

MOST_WINDOWS: Final = 1000
"""Servers of one rollout that are remembered, dead ones too: one that dies and starts again all day is many."""


async def publish(connection: AsyncConnection, window: ServerWindow) -> None:
    """Replace what the server has published; nothing if the rollout has ended."""
    table, document = tables.rollout_windows, window_document(window)
    this = (table.c.rollout == window.rollout) & (table.c.server == window.server)
    replaced = await connection.execute(sa.update(table).where(this).values(document=document))
    if not replaced.rowcount and await _is_active(connection, window.rollout):
        # One that lives and is forgotten comes by here again.
        values = {"server": window.server, "document": document}
        await _insert_newest(connection, table, window.rollout, values, MOST_WINDOWS)


async def save_evidence(connection: AsyncConnection, rollout: str, document: Document, lease: LeaseRecord) -> None:
    """Replace what the judge has kept."""
    record = await read_rollout(connection, rollout)
    await check_lease(connection, lease, record.revision)
    table, values = tables.rollout_evidence, {"document": dict(document)}
    replaced = await connection.execute(sa.update(table).where(table.c.rollout == rollout).values(values))
    if not replaced.rowcount:
        await connection.execute(sa.insert(table).values(rollout=rollout, **values))


async def count_report(connection: AsyncConnection, rollout: str, report_id: str) -> bool:
    """Whether the report is a new one; from now on it is not."""
    if not (await read_rollout(connection, rollout)).is_active:
        return False
    table, report = tables.metric_reports, _hash(report_id)
    ours = table.c.rollout == rollout
    if await connection.scalar(sa.select(table.c.number).where(ours, table.c.report == report)) is not None:
        return False
    await _insert_newest(connection, table, rollout, {"report": report}, MOST_REPORTS)
    return True


async def forget_counts(connection: AsyncConnection, rollout: str) -> None:
    """Delete what nobody asks for once a rollout has ended."""
    for table in (tables.rollout_windows, tables.metric_reports):
        await connection.execute(sa.delete(table).where(table.c.rollout == rollout))


async def read_delivered(connection: AsyncConnection, hook: str) -> int | None:
    """Place of the last entry that the hook was told; None if it never was."""
    table = tables.webhook_places
    place: int | None = await connection.scalar(sa.select(table.c.place).where(table.c.hook == _hash(hook)))
    return place


async def mark_delivered(connection: AsyncConnection, hook: str, place: int) -> None:
    """Write down that the hook was told everything up to `place`; it never goes back."""
    table, this = tables.webhook_places, _hash(hook)
    told = await read_delivered(connection, hook)
    if told is None:
        await connection.execute(sa.insert(table).values(hook=this, place=place))
    elif told < place:
        await connection.execute(sa.update(table).where(table.c.hook == this).values(place=place))


async def _insert_newest(
    connection: AsyncConnection, table: sa.Table, rollout: str, values: Mapping[str, object], most: int
) -> None:
    """Insert a row of the rollout, and delete the oldest of those that are more than `most`."""
    ours = table.c.rollout == rollout
    number = 1 + int(await connection.scalar(sa.select(sa.func.max(table.c.number)).where(ours)) or 0)
    await connection.execute(sa.insert(table).values(rollout=rollout, number=number, **values))
    await connection.execute(sa.delete(table).where(ours, table.c.number <= number - most))


async def _is_active(connection: AsyncConnection, rollout: str) -> bool:
    table = tables.rollouts
    return bool(await connection.scalar(sa.select(table.c.is_active).where(table.c.id == rollout)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
