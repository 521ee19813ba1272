"""Reads and writes what runs were seen to cost; nothing here is a change of the registry."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.registry.sql.tables import learned_costs as table

MOST_ROWS: Final = 10_000
"""Remembered in all: a hundred models with ten versions each on ten kinds of machine."""

GivesWay = Callable[[str, Mapping[str, Any]], bool]
"""Whether what is known of a subject may be replaced; asked while nobody else writes."""


async def read_costs(connection: AsyncConnection, subject: str, machine: str) -> Mapping[str, Any] | None:
    """What was written last; None if nothing."""
    return await connection.scalar(sa.select(table.c.document).where(_is(subject, machine)))


async def write_costs(
    connection: AsyncConnection,
    documents: Mapping[str, Mapping[str, Any]],
    machine: str,
    at: dt.datetime,
    gives_way: GivesWay,
) -> None:
    """Replace what is known of each subject on `machine`, and forget the oldest of all where they are too many."""
    for subject, document in documents.items():
        known = await read_costs(connection, subject, machine)
        if known is not None and not gives_way(subject, known):
            continue
        values = {"document": dict(document), "at": at}
        replaced = await connection.execute(sa.update(table).where(_is(subject, machine)).values(values))
        if not replaced.rowcount:
            await connection.execute(sa.insert(table).values(subject=subject, machine=machine, **values))
    oldest_kept = await connection.scalar(sa.select(table.c.at).order_by(table.c.at.desc()).offset(MOST_ROWS).limit(1))
    if oldest_kept is not None:
        await connection.execute(sa.delete(table).where(table.c.at <= oldest_kept))


def _is(subject: str, machine: str) -> sa.ColumnElement[bool]:
    return (table.c.subject == subject) & (table.c.machine == machine)
