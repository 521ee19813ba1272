"""How a process hears, soon, that somebody has written to the database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.registry.sql.database import CHANNEL, Database
from serinus.registry.sql.store_errors import unreachable

SQLITE_LOOK_S: Final = 0.1  # a look costs tens of microseconds; nobody waits longer than this for another's write
POSTGRESQL_LOOK_S: Final = 1.0  # announcements come at once; this is for those that were lost


class Pulse(Protocol):
    """Tells when it is worth reading the revision again."""

    async def beat(self) -> None:
        """Return once somebody may have written since the last beat.

        Raises:
            StoreUnavailable: the database is gone; this pulse has stopped.
        """
        ...


@contextlib.asynccontextmanager
async def pulse_of(database: Database) -> AsyncIterator[Pulse]:
    """The pulse of `database`, on a connection that is kept while the block runs."""
    with database.announced() as announced:
        async with database.kept_connection() as connection:
            if database.kind == "sqlite":
                yield _SqlitePulse(database, connection, announced, await _data_version(connection))
            else:
                async with _listening(connection, announced) as pulse:
                    yield pulse


class _SqlitePulse:
    def __init__(
        self, database: Database, connection: AsyncConnection, announced: asyncio.Event, data_version: int
    ) -> None:
        self._database = database
        self._connection = connection
        self._announced = announced
        self._data_version = data_version

    async def beat(self) -> None:
        while True:
            announced = await _set_within(self._announced, SQLITE_LOOK_S)
            found = await _data_version(self._connection)
            if not await self._database.is_same_file():
                raise unreachable()
            if announced or found != self._data_version:
                self._data_version = found
                return


class _PostgresqlPulse:
    def __init__(self, driver: Any, announced: asyncio.Event) -> None:
        self._driver = driver
        self._announced = announced

    async def beat(self) -> None:
        await _set_within(self._announced, POSTGRESQL_LOOK_S)
        if self._driver.is_closed():
            raise unreachable()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    was_set = event.is_set()
    event.clear()
    return was_set


async def _data_version(connection: AsyncConnection) -> int:
    # SQLite counts here the commits of all other connections that this one can see.
    return int((await connection.exec_driver_sql("PRAGMA data_version")).scalar_one())


@contextlib.asynccontextmanager
async def _listening(connection: AsyncConnection, announced: asyncio.Event) -> AsyncIterator[_PostgresqlPulse]:
    driver: Any = (await connection.get_raw_connection()).driver_connection

    def hear(*_what: object) -> None:
        announced.set()

    driver.add_termination_listener(hear)
    await driver.add_listener(CHANNEL, hear)
    try:
        yield _PostgresqlPulse(driver, announced)
    finally:
        # A connection that listens must not serve anybody else.
        driver.terminate()
        await connection.invalidate()
