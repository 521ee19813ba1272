"""Transactions on the registry's database: one writer at a time, and an answer in bounded time even if it is gone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import ConnectionPoolEntry

from serinus.core.errors import ServerError, StoreUnavailable
from serinus.registry.failpoints import Failpoint, pass_by
from serinus.registry.sql.engines import Location, locate, make_engine, reading, watching, writing
from serinus.registry.sql.migrations import HEAD
from serinus.registry.sql.preparing import ADVISORY_LOCK, Absent, Condition, prepare_blocking, schema_too_new
from serinus.registry.sql.store_errors import DAMAGED, damaged, locked, outcome_unknown, translate, unreachable
from serinus.registry.sql.tables import SCHEMA_TABLE
from serinus.telemetry.logs import get_logger
from serinus.threads import to_thread

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

CHANNEL = "serinus_registry"
"""PostgreSQL's channel on which every write is announced."""

_DISK_TIMEOUT_S = 10.0  # once it has the lock, a transaction takes milliseconds, or something is broken
_GENERATION = "serinus_generation"

_log = get_logger(__name__)


class Database:
    """The registry's database; made by `open_database`, connects when it is first used.

    Every method raises StoreUnavailable, StoreFull, DataLost or Refused for what the database does not allow. A
    transaction that has begun goes on to its end when its caller is cancelled, so that no connection is left half-way;
    it is all in or all out.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._engine = make_engine(location)
        self._answer_timeout_s = location.busy_timeout_s + _DISK_TIMEOUT_S
        self._condition: Condition | None = None
        self._absent = Absent.CREATE
        self._file: tuple[int, int] | None = None
        self._generation = 0
        self._preparation: asyncio.Task[None] | None = None
        self._writer = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
        self._listeners: set[asyncio.Event] = set()
        self._trouble = ""
        if location.file is not None:
            sa.event.listen(self._engine.sync_engine, "connect", self._stamp)
            sa.event.listen(self._engine.sync_engine, "checkout", self._check_stamp)

    def __repr__(self) -> str:
        condition = "not reached yet" if self._condition is None else self._condition.value
        return f"<Database {self._location.kind} [{condition}]>"

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._location.kind

    async def read(self, work: Work[T]) -> T:
        """What `work` reads in one transaction, of one state of the database."""
        with self._translated():
            await self._ready()
            return await self._answered(self._read(work), unreachable)

    async def write(self, work: Work[T], *, reach: Callable[[Failpoint], None] = pass_by) -> T:
        """What `work` returns, once it is committed; nothing is written if it raises."""
        with self._translated():
            await self._still_there()
            await self._ready()
            if self._condition is Condition.DAMAGED:
                raise damaged()
            try:
                async with asyncio.timeout(self._location.busy_timeout_s):
                    await self._writer.acquire()
            except TimeoutError as error:
                raise locked(self._location.busy_timeout_s) from error
            return await self._answered(self._write_and_release(work, reach), outcome_unknown)

    @contextlib.asynccontextmanager
    async def kept_connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for as long as the block runs, outside of any transaction; for watching."""
        with self._translated():
            await self._still_there()
            await self._ready()
            async with watching(self._engine).connect() as connection:
                yield connection

    @contextlib.contextmanager
    def announced(self) -> Iterator[asyncio.Event]:
        """An event that is set after every write of this process, while the block runs."""
        event = asyncio.Event()
        self._listeners.add(event)
        try:
            yield event
        finally:
            self._listeners.remove(event)

    async def is_same_file(self) -> bool:
        """Whether SQLite's file is the one that was opened, not taken away or put back from a backup."""
        file = self._location.file
        return file is None or self._file is None or await to_thread(_identity, file) == self._file

    async def close(self) -> None:
        """Wait for what runs, in bounded time, and let all connections go."""
        if self._running:
            _done, late = await asyncio.wait(self._running, timeout=self._answer_timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await self._engine.dispose()

    async def _read(self, work: Work[T]) -> T:
        async with reading(self._engine).begin() as connection:
            return await work(connection)

    async def _write_and_release(self, work: Work[T], reach: Callable[[Failpoint], None]) -> T:
        try:
            return await self._write(work, reach)
        finally:
            self._writer.release()

    async def _write(self, work: Work[T], reach: Callable[[Failpoint], None]) -> T:
        async with writing(self._engine).connect() as connection:
            transaction = await connection.begin()
            try:
                await _take_turn(connection)
                reach(Failpoint.TRANSACTION_BEGUN)
                result = await work(connection)
            except BaseException:
                # It may be the connection that failed: then there is nothing to roll back.
                with contextlib.suppress(Exception):
                    await transaction.rollback()
                raise
            await self._commit(connection)
        reach(Failpoint.COMMITTED)
        for event in self._listeners:
            event.set()
        return result

    async def _commit(self, connection: AsyncConnection) -> None:
        try:
            await connection.commit()
        except Exception as error:
            meant = translate(error)
            # SQLite says for certain that it did not commit; a connection that broke says nothing.
            if isinstance(meant, StoreUnavailable) and self._location.file is None:
                raise outcome_unknown() from error
            raise

    async def _answered(self, work: Coroutine[Any, Any, T], too_late: Callable[[], ServerError]) -> T:
        task = self._start(work)
        # `wait` leaves the task alone when this caller is cancelled.
        done, _pending = await asyncio.wait({task}, timeout=self._answer_timeout_s)
        if not done:
            raise too_late()
        return task.result()

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone: nobody else looks

    async def _ready(self) -> None:
        if self._condition is not None:
            return
        if self._preparation is None or self._preparation.done():
            # One attempt at a time: all who wait share its outcome.
            self._preparation = self._start(self._prepare())
        await asyncio.shield(self._preparation)

    async def _prepare(self) -> None:
        condition = await to_thread(prepare_blocking, self._location, self._absent)
        if self._location.file is not None:
            self._file = await to_thread(_identity, self._location.file)
        if condition is Condition.DAMAGED:
            _log.error("database damaged: writes are refused until it is restored from a backup")
        self._absent = Absent.UNREACHABLE
        self._condition = condition

    async def _still_there(self) -> None:
        # SQLite would go on writing to a file that nobody will ever find again.
        if not await self.is_same_file():
            self._generation += 1
            self._condition = None

    def _stamp(self, _connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        entry.info[_GENERATION] = self._generation

    def _check_stamp(self, _connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: object) -> None:
        if entry.info[_GENERATION] != self._generation:
            raise DisconnectionError("the file is another one")  # the pool connects anew

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            meant = error if isinstance(error, ServerError) else translate(error)
            if meant is None:
                raise
            self._note(meant, error)
            if meant is error:
                raise
            raise meant from error
        self._note_success()

    def _note(self, meant: ServerError, error: Exception) -> None:
        if meant.reason == DAMAGED and self._location.file is not None:
            # A write that would find whole pages by luck must not build on the others.
            self._condition = Condition.DAMAGED
        if meant is error or meant.message == self._trouble:
            return
        self._trouble = meant.message
        origin = getattr(error, "orig", None) or error
        code = getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None) or ""
        _log.warning(
            "database in trouble", database=self.kind, trouble=meant.message, error=type(origin).__name__, code=code
        )

    def _note_success(self) -> None:
        if self._trouble:
            self._trouble = ""
            _log.info("database works again", database=self.kind)


async def _take_turn(connection: AsyncConnection) -> None:
    if connection.dialect.name == "postgresql":
        # Writers of all processes queue here, so that revisions have no gaps and the audit is one chain.
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        # What was acknowledged must survive a crash, however fast the server was told to be.
        await connection.execute(
            sa.text(
                "SELECT set_config('synchronous_commit', 'on', true)"
                " WHERE current_setting('synchronous_commit') = 'off'"
            )
        )
    # A newer program may have migrated the database while this one ran.
    schema = await connection.scalar(sa.select(sa.column("version_num")).select_from(sa.table(SCHEMA_TABLE)))
    if schema != HEAD:
        raise schema_too_new(str(schema))


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextlib.asynccontextmanager
async def open_database(url: str, *, busy_timeout_s: float = 5.0) -> AsyncIterator[Database]:
    """The database at `url`, such as `sqlite:///state/registry.db`; it need not be reachable yet.

    Args:
        url: Where it is; an SQLite file and its folder are created when they are first used.
        busy_timeout_s: Longest wait for another writer, in this process or another one.

    Raises:
        ConfigError: the URL cannot be meant.
    """
    database = Database(locate(url, busy_timeout_s=busy_timeout_s))
    try:
        yield database
    finally:
        await database.close()
