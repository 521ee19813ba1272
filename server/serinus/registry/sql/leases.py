"""The one right to control rollouts: who has it, and who may take it."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.errors import Conflict
from serinus.registry.rollout_records import LeaseRecord
from serinus.registry.sql.tables import controller_lease as table


async def read_lease(connection: AsyncConnection) -> LeaseRecord | None:
    """Whose it is; None if nobody's."""
    row = (await connection.execute(sa.select(table))).one()
    return LeaseRecord(row.holder, row.fence, row.beat) if row.holder else None


async def take_lease(connection: AsyncConnection, holder: str, seen: LeaseRecord | None) -> LeaseRecord | None:
    """Give it to `holder`, unless it is not as it was `seen` any more: then None."""
    as_seen = (
        table.c.holder == ""
        if seen is None
        else (table.c.holder == seen.holder) & (table.c.fence == seen.fence) & (table.c.beat == seen.beat)
    )
    return await _changed(connection, as_seen, holder=holder, fence=table.c.fence + 1, beat=0)


async def beat_lease(connection: AsyncConnection, lease: LeaseRecord) -> LeaseRecord | None:
    """Say that its holder lives; None if it is another's by now."""
    return await _changed(connection, _is(lease), beat=table.c.beat + 1)


async def leave_lease(connection: AsyncConnection, lease: LeaseRecord) -> None:
    """Give it back; nothing if it is another's by now."""
    await _changed(connection, _is(lease), holder="")


async def check_lease(connection: AsyncConnection, lease: LeaseRecord, current_revision: int) -> None:
    """Return if `lease` is still its holder's; it stays so until the transaction ends.

    Raises:
        Conflict: LEASE_LOST, it is not.
    """
    if await connection.scalar(sa.select(table.c.fence).where(_is(lease))) is None:
        raise Conflict(
            "another server controls the rollouts by now",
            current_revision=current_revision,
            reason="LEASE_LOST",
        )


def _is(lease: LeaseRecord) -> sa.ColumnElement[bool]:
    # Not its beat: an answer to a beat may be lost, and the fence alone tells one holder's time from another's.
    return (table.c.holder == lease.holder) & (table.c.fence == lease.fence)


async def _changed(connection: AsyncConnection, wanted: sa.ColumnElement[bool], **values: object) -> LeaseRecord | None:
    changed = await connection.execute(sa.update(table).where(wanted).values(**values))
    return await read_lease(connection) if changed.rowcount else None
