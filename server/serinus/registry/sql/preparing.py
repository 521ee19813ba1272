"""Makes a database ready for use: its file, a look for damage, and the schema of this program."""

import asyncio
import enum
import logging
import os
import sqlite3
import time
from collections.abc import Collection
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from serinus.core.errors import Refused
from serinus.registry.sql.engines import Location, make_single_use_engine, writing
from serinus.registry.sql.migrations import FOLDER, HEAD, KNOWN
from serinus.registry.sql.tables import SCHEMA_TABLE, controller_lease, metadata
from serinus.telemetry.logs import get_logger

ADVISORY_LOCK = 0x5E_71_05  # any number, as long as every process takes the same one

_LOG_LOOK_S = 0.005  # the change takes less

_log = get_logger(__name__)


class Condition(enum.Enum):
    """What a database was found to be."""

    SOUND = "sound"
    DAMAGED = "damaged"


# What it does to the schema is in our own log; the rest of what it says is about itself.
logging.getLogger("alembic").setLevel(logging.WARNING)


class Absent(enum.Enum):
    """What it means that SQLite's file is not there: a first start, or that somebody took it away."""

    CREATE = "create"
    UNREACHABLE = "unreachable"


def prepare_blocking(location: Location, absent: Absent) -> Condition:
    """Make the database ready; blocks for as long as its disk and its lock take, so that it needs a thread.

    Raises:
        Refused: the schema is newer than this program, or not ours.
        OSError, sqlite3.Error, DBAPIError: it cannot be reached; see `store_errors`.
    """
    if location.file is not None:
        _make_file(location.file, absent)
        if not _is_sound(location.file, location.busy_timeout_s):
            return Condition.DAMAGED
    # A loop of its own: alembic is not asynchronous, and asyncpg is nothing else.
    asyncio.run(_migrate(location))
    return Condition.SOUND


def schema_too_new(found: str) -> Refused:
    """The error for a database that a newer program has migrated."""
    return Refused(
        f"the registry's database has schema {found[:32]!r}, this program knows up to {HEAD!r}: install a newer one",
        reason="SCHEMA_NEWER",
    )


def _make_file(file: Path, absent: Absent) -> None:
    create = 0
    if absent is Absent.CREATE:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create = os.O_CREAT
    # SQLite gives its companion files the mode of this one.
    os.close(os.open(file, create | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _is_sound(file: Path, busy_timeout_s: float) -> bool:
    connection = sqlite3.connect(file, timeout=busy_timeout_s, isolation_level=None)
    try:
        journal = _begin_log(connection, time.monotonic() + busy_timeout_s)
        if journal != "wal":
            _log.warning("database without a write-ahead log: its file system allows none", journal=journal)
        problems = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return False
        raise
    finally:
        connection.close()
    return problems == [("ok",)]


def _begin_log(connection: sqlite3.Connection, deadline: float) -> str:
    # SQLite does not wait by itself for another process that makes the same change of the same new file.
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_LOG_LOOK_S)


async def _migrate(location: Location) -> None:
    engine = make_single_use_engine(location)
    try:
        await _migrate_on(writing(engine))
    finally:
        await engine.dispose()


async def _migrate_on(engine: AsyncEngine) -> None:
    # One transaction, and only one process in it: a second one finds the work done.
    async with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        await connection.run_sync(migrate)


def migrate(connection: sa.Connection) -> None:
    """Bring the schema up to this program's, in the open transaction of `connection`.

    Raises:
        Refused: it is newer, or the tables are not ours.
    """
    tables = frozenset(sa.inspect(connection).get_table_names())
    found = _schema(connection, tables)
    if found == HEAD:
        return
    if found is not None and found not in KNOWN:
        raise schema_too_new(found)
    if found is None and (taken := sorted(tables & metadata.tables.keys())):
        raise Refused(
            f"the database holds tables of another program: {', '.join(taken)}; give the registry one of its own",
            reason="SCHEMA_UNKNOWN",
        )
    if SCHEMA_TABLE in tables:
        upgrade(connection)
    else:
        create(connection)
    _log.info("database migrated", before=found or "", after=HEAD)


def create(connection: sa.Connection) -> None:
    """Make the tables of an empty database: those that `upgrade` comes to, without its time and its memory."""
    metadata.create_all(connection, checkfirst=False)
    connection.execute(sa.insert(controller_lease), {"fence": 0, "beat": 0, "holder": ""})
    schema = sa.Table(
        SCHEMA_TABLE,
        sa.MetaData(naming_convention={"pk": "%(table_name)s_pkc"}),  # as alembic would make it
        sa.Column("version_num", sa.String(32), primary_key=True),
    )
    schema.create(connection)
    connection.execute(sa.insert(schema), {"version_num": HEAD})


def upgrade(connection: sa.Connection) -> None:
    """Take the steps that a database has not seen yet."""
    # Imported here: it takes a third of a second and 10 MiB, and hardly any start takes a step.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", FOLDER.as_posix().replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _schema(connection: sa.Connection, tables: Collection[str]) -> str | None:
    if SCHEMA_TABLE not in tables:
        return None
    found = connection.scalar(sa.select(sa.column("version_num")).select_from(sa.table(SCHEMA_TABLE)))
    return None if found is None else str(found)
