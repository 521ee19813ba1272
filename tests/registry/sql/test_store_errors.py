"""What a database says and what it means; which URLs are refused."""

import sqlite3

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from serinus.config.errors import ConfigError
from serinus.core.errors import DataLost, ServerError, StoreFull, StoreUnavailable
from serinus.registry.sql.database import open_database
from serinus.registry.sql.store_errors import translate


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mysql://ann:topsecret@host/db", "expected 'sqlite' or 'postgresql' before '://', got 'mysql'"),
        ("sqlite://", "expected the path of a file"),
        ("sqlite:///:memory:", "expected the path of a file"),
        ("sqlite:///a.db?mode=ro", "expected nothing behind the path"),
        ("topsecret", "expected a URL such as"),
        ("postgresql://ann:topsecret@host:port/db", "expected a URL such as"),
        ("postgresql://host/db?password=topsecret", "unknown option 'password': expected one of host, passfile"),
    ],
)
async def test_a_url_that_cannot_be_meant_is_refused_at_once(url: str, complaint: str):
    """Without repeating what may be a password."""
    with pytest.raises(ConfigError) as refused:
        async with open_database(url):
            pass
    assert complaint in str(refused.value)
    assert "topsecret" not in str(refused.value)


def bare_sqlite_error(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("/secret/path")
    error.sqlite_errorname = name
    return error


def sqlite_error(name: str) -> DBAPIError:
    return OperationalError("SELECT secret", None, bare_sqlite_error(name))


def postgresql_error(error: Exception) -> DBAPIError:
    return DBAPIError("SELECT secret", None, error)


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        (sqlite_error("SQLITE_FULL"), StoreFull),
        (sqlite_error("SQLITE_IOERR_SHMSIZE"), StoreFull),
        (sqlite_error("SQLITE_IOERR_FSYNC"), StoreUnavailable),
        (sqlite_error("SQLITE_BUSY_SNAPSHOT"), StoreUnavailable),
        (sqlite_error("SQLITE_READONLY_DBMOVED"), StoreUnavailable),
        (sqlite_error("SQLITE_CANTOPEN"), StoreUnavailable),
        (sqlite_error("SQLITE_CORRUPT_VTAB"), DataLost),
        (sqlite_error("SQLITE_NOTADB"), DataLost),
        (sqlite_error("SQLITE_CONSTRAINT_UNIQUE"), None),
        (sqlite_error("SQLITE_ERROR"), None),
        (bare_sqlite_error("SQLITE_IOERR_SHMSIZE"), StoreFull),
        (bare_sqlite_error("SQLITE_BUSY"), StoreUnavailable),
        (bare_sqlite_error("SQLITE_ERROR"), None),
        (postgresql_error(asyncpg.DiskFullError("x")), StoreFull),
        (postgresql_error(asyncpg.TooManyConnectionsError("x")), StoreUnavailable),
        (postgresql_error(asyncpg.ReadOnlySQLTransactionError("x")), StoreUnavailable),
        (postgresql_error(asyncpg.InvalidPasswordError("x")), StoreUnavailable),
        (postgresql_error(asyncpg.InvalidCatalogNameError("x")), StoreUnavailable),
        (postgresql_error(asyncpg.AdminShutdownError("x")), StoreUnavailable),
        (postgresql_error(asyncpg.CannotConnectNowError("x")), StoreUnavailable),
        (postgresql_error(asyncpg.DataCorruptedError("x")), DataLost),
        (postgresql_error(asyncpg.UniqueViolationError("x")), None),
        (postgresql_error(asyncpg.UndefinedTableError("x")), None),
        (IntegrityError("SELECT secret", None, sqlite3.IntegrityError("x")), StoreUnavailable),
        (ConnectionRefusedError("/secret/path"), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
        (sa.exc.TimeoutError("pool"), StoreUnavailable),
        (RuntimeError("can't start new thread"), StoreUnavailable),
        (RuntimeError("a bug"), None),
        (KeyError("a bug"), None),
    ],
    ids=repr,
)
def test_what_a_database_says_has_a_meaning(error: Exception, meant: type[ServerError] | None):
    """A bug of ours has none; no sentence repeats what the database said."""
    found = translate(error)
    assert (None if found is None else type(found)) is meant
    assert found is None or "secret" not in found.message
