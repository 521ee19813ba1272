"""What a database's own errors mean in our words; nothing of a URL, a path or a statement passes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from serinus.core.errors import DataLost, ServerError, StoreFull, StoreUnavailable
from serinus.registry.sql.engines import sqlite_error_name
from serinus.threads import is_out_of_threads

DAMAGED: Final = "DATABASE_DAMAGED"
OUTCOME_UNKNOWN: Final = "OUTCOME_UNKNOWN"
"""Reason of a StoreUnavailable in whose course a write may or may not have happened."""

_RETRY_S = 1.0  # a lock is held for milliseconds, a database is restarted in seconds

# Beginnings of SQLite's extended names, the longest first where one contains another.
_SQLITE: Final[Sequence[tuple[str, str]]] = (
    ("SQLITE_FULL", "full"),
    ("SQLITE_IOERR_SHMSIZE", "full"),  # the shared index could not grow
    ("SQLITE_BUSY", "locked"),
    ("SQLITE_LOCKED", "locked"),
    ("SQLITE_READONLY", "read-only"),
    ("SQLITE_CANTOPEN", "unreachable"),
    ("SQLITE_IOERR", "unreachable"),
    ("SQLITE_PERM", "unreachable"),
    ("SQLITE_AUTH", "unreachable"),
    ("SQLITE_NOMEM", "unreachable"),
    ("SQLITE_PROTOCOL", "locked"),
    ("SQLITE_INTERRUPT", "unreachable"),
    ("SQLITE_CORRUPT", "damaged"),
    ("SQLITE_NOTADB", "damaged"),
)
# Beginnings of PostgreSQL's SQLSTATE.
_POSTGRESQL: Final[Sequence[tuple[str, str]]] = (
    ("53100", "full"),
    ("55P03", "locked"),  # lock_timeout
    ("57014", "locked"),  # statement_timeout
    ("40", "locked"),  # a deadlock, or two transactions that cannot both be
    ("25006", "read-only"),  # a standby, before or after a failover
    ("XX001", "damaged"),
    ("XX002", "damaged"),
    ("08", "unreachable"),
    ("25P03", "unreachable"),  # it was silent for too long
    ("28", "unreachable"),  # a wrong password
    ("3D000", "unreachable"),  # no such database
    ("42501", "unreachable"),  # no permission
    ("53", "unreachable"),  # too many connections, no memory
    ("57P", "unreachable"),  # shutting down, starting up
    ("58", "unreachable"),  # an I/O error
)


def damaged() -> DataLost:
    """The error for a database whose pages are not what was written."""
    return DataLost(
        "the registry's database is damaged, so nothing can be written; what serves goes on: restore it from a backup",
        reason=DAMAGED,
    )


def unreachable() -> StoreUnavailable:
    """The error for a database that does not answer."""
    return StoreUnavailable("the registry's database cannot be reached now", retry_after_s=_RETRY_S)


def locked(waited_s: float | None = None) -> StoreUnavailable:
    """The error for a database that somebody else writes to for too long."""
    waited = "" if waited_s is None else f" after {waited_s:g} s"
    return StoreUnavailable(
        f"the registry's database is still locked by another writer{waited}", retry_after_s=_RETRY_S
    )


def full() -> StoreFull:
    """The error for a disk without room."""
    return StoreFull("the disk of the registry's database is full; nothing was written")


def read_only() -> StoreUnavailable:
    """The error for a database that takes no writes."""
    return StoreUnavailable("the registry's database is read-only now", retry_after_s=_RETRY_S)


def outcome_unknown() -> StoreUnavailable:
    """The error for a write whose commit was not answered."""
    return StoreUnavailable(
        "the registry's database did not answer a commit: the write may have happened or not, read before trying again",
        retry_after_s=_RETRY_S,
        reason=OUTCOME_UNKNOWN,
    )


_MEANT: Final[Mapping[str, Callable[[], ServerError]]] = {
    "full": full,
    "locked": locked,
    "read-only": read_only,
    "unreachable": unreachable,
    "damaged": damaged,
}


def translate(error: BaseException) -> ServerError | None:
    """What `error` means for a caller, or None if it is a bug of ours."""
    if isinstance(error, PoolTimeout):
        return locked()
    # Connecting failed: drivers let these pass, and SQLite's needs a thread for each connection.
    if isinstance(error, (OSError, TimeoutError, EOFError)) or is_out_of_threads(error):
        return unreachable()
    # Our own look at a file comes without SQLAlchemy's wrapping.
    kind = _kind(error) if isinstance(error, DBAPIError) else _listed(sqlite_error_name(error), "")
    meant = _MEANT.get(kind)
    return None if meant is None else meant()


def _kind(error: DBAPIError) -> str:
    origin = error.orig
    if origin is None:
        return ""
    sqlite, sqlstate = sqlite_error_name(origin), str(getattr(origin, "sqlstate", None) or "")
    if kind := _listed(sqlite, sqlstate):
        return kind
    # A connection that breaks under a statement has no code of its own.
    has_broken = error.connection_invalidated or isinstance(error, InterfaceError) or not (sqlite or sqlstate)
    return "unreachable" if has_broken else ""


def _listed(sqlite: str, sqlstate: str) -> str:
    for code, table in ((sqlite, _SQLITE), (sqlstate, _POSTGRESQL)):
        for beginning, kind in table:
            if code.startswith(beginning):
                return kind
    return ""
