"""One write under way: its turn, what it sees, and the entry of the audit that it leaves."""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.errors import Conflict, InvalidInput
from serinus.registry.failpoints import Failpoint
from serinus.registry.records import ModelRecord, VersionRecord
from serinus.registry.sql import tables
from serinus.registry.sql.absent import no_model, no_version
from serinus.registry.sql.audit import Head, next_entry
from serinus.registry.sql.database import CHANNEL, Database
from serinus.registry.sql.reads import read_head, read_model
from serinus.registry.sql.rows import audit_values

T = TypeVar("T")


class Writing:
    """A transaction that will be one revision of the registry; made inside it by `begin`.

    Attributes:
        connection: With the transaction.
        revision: That everything which this write changes gets.
        at: When, UTC.
        actor: Who writes.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        head: Head,
        *,
        at: dt.datetime,
        actor: str,
        reach: Callable[[Failpoint], None],
    ) -> None:
        self.connection = connection
        self.revision = head.revision + 1
        self.at = at
        self.actor = actor
        self._head = head
        self._reach = reach

    @classmethod
    async def begin(
        cls, connection: AsyncConnection, *, at: dt.datetime, actor: str, reach: Callable[[Failpoint], None]
    ) -> "Writing":
        """The write that follows all others so far."""
        return cls(connection, await read_head(connection), at=at, actor=actor, reach=reach)

    async def model(self, name: str, expected_revision: int | None) -> ModelRecord:
        """The model as it is before this write.

        Raises:
            NotFound: there is none.
            Conflict: it is not at `expected_revision`.
        """
        record = await read_model(self.connection, name)
        if record is None:
            raise no_model(name)
        check_revision(name, record.revision, expected_revision)
        return record

    async def save_version(self, record: VersionRecord, values: Mapping[str, Any]) -> None:
        """Set `values` of the version's row."""
        table = tables.versions
        await self.connection.execute(
            sa.update(table)
            .where(table.c.model == record.identity.model, table.c.number == record.identity.number)
            .values(**values, revision=self.revision)
        )

    async def end(
        self,
        action: str,
        model: str,
        version: str,
        *,
        before: Mapping[str, object],
        after: Mapping[str, object],
    ) -> None:
        """Give the model its new revision, and write down what was done; the last that a write does."""
        await self.connection.execute(
            sa.update(tables.models).where(tables.models.c.name == model).values(revision=self.revision)
        )
        entry = next_entry(
            self._head,
            at=self.at,
            actor=self.actor,
            action=action,
            model=model,
            version=version,
            before=before,
            after=after,
        )
        await self.connection.execute(sa.insert(tables.audit).values(**audit_values(entry)))
        if self.connection.dialect.name == "postgresql":
            await self.connection.execute(sa.select(sa.func.pg_notify(CHANNEL, str(self.revision))))
        self._reach(Failpoint.ROWS_WRITTEN)


async def write_revision(
    database: Database,
    work: Callable[[Writing], Awaitable[T]],
    *,
    now: Callable[[], dt.datetime],
    actor: str,
    reach: Callable[[Failpoint], None],
) -> T:
    """What `work` returns, once it is committed as one revision of the registry.

    Raises:
        InvalidInput: `actor` cannot stand in the audit.
    """
    check_actor(actor)

    async def write(connection: AsyncConnection) -> T:
        return await work(await Writing.begin(connection, at=now(), actor=actor, reach=reach))

    return await database.write(write, reach=reach)


def check_revision(name: str, current: int, expected: int | None) -> None:
    """Return if the model `name`, at revision `current`, is where its writer believes it to be.

    Raises:
        Conflict: it is not.
    """
    if expected is not None and expected != current:
        raise Conflict(
            f"model {name!r} is at revision {current}, not at {expected}: somebody changed it, read it again",
            current_revision=current,
            field="expected_revision",
        )


def selected(record: ModelRecord, selector: str) -> VersionRecord:
    """The version of `record` that `selector` means.

    Raises:
        NotFound: it means none.
        InvalidInput: it cannot mean any.
    """
    found = record.select(selector)
    if found is None:
        raise no_version(record, selector)
    return found


def check_actor(actor: str) -> str:
    """Return `actor` if it can stand in the audit: one printable line of at most 256 characters.

    Raises:
        InvalidInput: it cannot.
    """
    if len(actor) > tables.LONGEST_ACTOR or not actor.isprintable():
        raise InvalidInput(
            f"invalid actor: expected at most {tables.LONGEST_ACTOR} printable characters, got {len(actor)}",
            reason="INVALID_ACTOR",
            field="actor",
        )
    return actor
