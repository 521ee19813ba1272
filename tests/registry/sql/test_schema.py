"""How a database gets its tables, and which databases are refused."""

import asyncio
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from serinus.core.errors import Refused
from serinus.registry.registry import Registry
from serinus.registry.sql.database import Database, open_database
from serinus.registry.sql.engines import locate, make_single_use_engine
from serinus.registry.sql.migrations import FOLDER, HEAD, KNOWN
from serinus.registry.sql.reads import read_head
from serinus.registry.sql.tables import SCHEMA_TABLE, metadata
from tests.registry.databases import clock, database, empty_url, kind, registry, url
from tests.registry.drafts import Clock, draft

__all__ = ["clock", "database", "kind", "registry", "url"]


async def execute(url: str, *statements: str) -> None:
    """Do what another program does."""
    engine = make_single_use_engine(locate(url, busy_timeout_s=1))
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(sa.text(statement))
    await engine.dispose()


async def test_migrations_make_the_tables_that_the_program_uses(database: Database):
    """Exactly those, with their keys and indexes."""

    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "version_table": SCHEMA_TABLE, "target_metadata": metadata}
        )
        return compare_metadata(context, metadata)

    assert await database.read(lambda connection: connection.run_sync(differences)) == []


def test_the_steps_are_those_that_the_program_names():
    """So that a step cannot be forgotten there."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == HEAD
    assert {step.revision for step in script.walk_revisions()} == KNOWN
    assert all(re.fullmatch(r"r\d{4}_\w+", Path(step.path).stem) for step in script.walk_revisions())


async def test_programs_that_start_together_migrate_once(kind: str, tmp_path: Path):
    """The second finds the work done."""
    url = await empty_url(kind, tmp_path)
    async with open_database(url) as one, open_database(url) as other:
        heads = await asyncio.gather(*(each.read(read_head) for each in (one, other, one, other)))
    assert {head.revision for head in heads} == {0}


async def test_a_newer_schema_is_refused(url: str, clock: Clock):
    """For reads and writes, when it is opened and while it is in use."""
    async with open_database(url) as database:
        registry = Registry(database, now=clock)
        await registry.register(draft("1.0.0"), actor="ann")
        await execute(url, f"UPDATE {SCHEMA_TABLE} SET version_num = '9999'")
        with pytest.raises(Refused, match="schema '9999'") as refused:
            await registry.register(draft("1.0.1"), actor="ann")
    assert refused.value.reason == "SCHEMA_NEWER"
    async with open_database(url) as database:
        with pytest.raises(Refused, match="install a newer one") as refused:
            await Registry(database, now=clock).snapshot()
    assert refused.value.reason == "SCHEMA_NEWER"


async def test_tables_of_another_program_are_left_alone(kind: str, tmp_path: Path):
    """Nothing is made beside them."""
    url = await empty_url(kind, tmp_path)
    await execute(url, "CREATE TABLE models (whatever INTEGER)")
    async with open_database(url) as database:
        with pytest.raises(Refused, match="tables of another program: models") as refused:
            await database.read(read_head)
    assert refused.value.reason == "SCHEMA_UNKNOWN"
