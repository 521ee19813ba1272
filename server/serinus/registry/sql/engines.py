"""How a database URL becomes connections: the drivers, and what every connection is told before its first use."""

import dataclasses
import importlib.util
import sqlite3
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from serinus.config.errors import ConfigError
from serinus.registry.sql.audit import canonical_json

_BEGIN: Final = "serinus_begin"  # execution option: how a transaction begins in SQLite

_CONNECTIONS = 5  # one writes, one follows, and reads are short
_SQLITE = frozenset({"sqlite", "sqlite+aiosqlite"})
_POSTGRESQL = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
_POSTGRESQL_KEYS = frozenset({"host", "port", "ssl", "passfile", "target_session_attrs"})
_CONNECT_TIMEOUT_S = 5.0
_IDLE_TIMEOUT_S = 30.0  # the server ends a transaction whose owner fell silent, and with it the owner's lock


@dataclasses.dataclass(frozen=True, repr=False)
class Location:
    """Where the registry's database is; never shown, because it may hold a password.

    Attributes:
        url: For SQLAlchemy, with its driver.
        file: SQLite's file; None for PostgreSQL.
        busy_timeout_s: Longest wait for somebody else's write.
    """

    url: URL
    file: Path | None
    busy_timeout_s: float

    def __repr__(self) -> str:
        return f"<Location {self.kind}>"

    @property
    def kind(self) -> str:
        """What messages and logs call it."""
        return "postgresql" if self.file is None else "sqlite"


def locate(url: str, *, busy_timeout_s: float) -> Location:
    """Read what an operator gave: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`.

    Raises:
        ConfigError: it is neither; the message does not repeat it.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(["database: expected a URL such as 'sqlite:///registry.db' or 'postgresql://…'"]) from error
    if parsed.drivername in _SQLITE:
        if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
            raise ConfigError(["database: expected the path of a file behind 'sqlite:///'"])
        if parsed.query:
            raise ConfigError(["database: expected nothing behind the path of an SQLite file"])
        return Location(parsed.set(drivername="sqlite+aiosqlite"), Path(parsed.database), busy_timeout_s)
    if parsed.drivername in _POSTGRESQL:
        if importlib.util.find_spec("asyncpg") is None:
            raise ConfigError(["database: PostgreSQL needs the extra 'postgres': pip install 'serinus[postgres]'"])
        return Location(_for_asyncpg(parsed), None, busy_timeout_s)
    raise ConfigError([f"database: expected 'sqlite' or 'postgresql' before '://', got {parsed.drivername[:32]!r}"])


def _for_asyncpg(url: URL) -> URL:
    query = dict(url.query)
    if "sslmode" in query:  # what every other PostgreSQL client calls it
        query["ssl"] = query.pop("sslmode")
    if unknown := sorted(query.keys() - _POSTGRESQL_KEYS):
        raise ConfigError(
            [f"database: unknown option {unknown[0][:32]!r}: expected one of {', '.join(sorted(_POSTGRESQL_KEYS))}"]
        )
    return url.set(drivername="postgresql+asyncpg", query=query)


def make_engine(location: Location) -> AsyncEngine:
    """An engine that has not connected yet; its maker disposes of it."""
    return _make(location, pool_size=_CONNECTIONS, max_overflow=0, pool_timeout=location.busy_timeout_s)


def make_single_use_engine(location: Location) -> AsyncEngine:
    """An engine that keeps no connection: for the short life of another event loop."""
    return _make(location, poolclass=NullPool)


def reading(engine: AsyncEngine) -> AsyncEngine:
    """`engine` for transactions that read one state of the database, whatever is written meanwhile."""
    if engine.dialect.name == "sqlite":
        return engine  # a transaction in write-ahead mode reads what was there when it began
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def writing(engine: AsyncEngine) -> AsyncEngine:
    """`engine` for transactions that write: in SQLite they take the one lock for writers when they begin."""
    return engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})


def watching(engine: AsyncEngine) -> AsyncEngine:
    """`engine` for connections that are kept and see in SQLite what is committed meanwhile: no transaction begins."""
    return engine.execution_options(**{_BEGIN: ""})


def _make(location: Location, **pool: Any) -> AsyncEngine:
    engine = create_async_engine(
        location.url,
        connect_args=_connect_args(location),
        hide_parameters=True,
        json_serializer=canonical_json,
        pool_pre_ping=location.file is None,
        **pool,
    )
    if location.file is not None:
        sa.event.listen(engine.sync_engine, "connect", _tell_sqlite)
        sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _connect_args(location: Location) -> dict[str, Any]:
    if location.file is not None:
        return {"timeout": location.busy_timeout_s}
    return {
        "timeout": min(_CONNECT_TIMEOUT_S, location.busy_timeout_s),
        # A statement waits at most for the lock, and then for a disk.
        "command_timeout": location.busy_timeout_s + _CONNECT_TIMEOUT_S,
        "server_settings": {
            "application_name": "serinus",
            "lock_timeout": str(round(location.busy_timeout_s * 1000)),
            "idle_in_transaction_session_timeout": str(round(_IDLE_TIMEOUT_S * 1000)),
        },
    }


def _tell_sqlite(connection: DBAPIConnection, _record: object) -> None:
    # None: Python's module would begin transactions by itself, and only before the first write.
    connection.isolation_level = None
    cursor = connection.cursor()
    # FULL: in write-ahead mode NORMAL loses the last commits when the power fails.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later can be refused when it writes, whatever it waited.
    if how := connection.get_execution_options().get(_BEGIN, "BEGIN"):
        connection.exec_driver_sql(how)


def sqlite_error_name(error: BaseException) -> str:
    """SQLite's own name of what went wrong, such as `SQLITE_BUSY`; "" if it has none."""
    return str(getattr(error, "sqlite_errorname", "")) if isinstance(error, sqlite3.Error) else ""
