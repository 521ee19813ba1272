"""How a database gets its tables, and which databases are refused."""

import asyncio
import logging
import re
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from serinus.core.errors import Refused
from serinus.core.traffic import NO_TRAFFIC
from serinus.registry.registry import Registry
from serinus.registry.rollouts import RolloutStore
from serinus.registry.sql.database import Database, open_database
from serinus.registry.sql.engines import locate, make_single_use_engine
from serinus.registry.sql.migrations import FOLDER, HEAD, KNOWN
from serinus.registry.sql.preparing import create, upgrade
from serinus.registry.sql.reads import read_head
from serinus.registry.sql.tables import SCHEMA_TABLE, metadata
from tests.registry.databases import clock, database, empty_url, kind, registry, url
from tests.registry.drafts import Clock, draft
from tests.support.rollout_changes import NEW, OLD, change_to, end, window

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


async def test_an_empty_database_gets_what_the_steps_come_to(kind: str, tmp_path: Path):
    """Tables, keys, indexes and first rows: which way a database came to its schema makes no difference later on."""
    made: list[object] = []
    for way in (create, upgrade):
        (tmp_path / way.__name__).mkdir()
        engine = make_single_use_engine(locate(await empty_url(kind, tmp_path / way.__name__), busy_timeout_s=1))
        async with engine.begin() as connection:
            await connection.run_sync(way)
            made.append(await connection.run_sync(contents))
        await engine.dispose()
    assert made[0] == made[1]


def contents(connection: sa.Connection) -> dict[str, object]:
    """Everything that is in a database, by table."""
    found = sa.inspect(connection)
    return {
        name: (
            [{**column, "type": repr(column["type"])} for column in found.get_columns(name)],
            found.get_pk_constraint(name),
            *(
                sorted(part(name), key=repr)
                for part in (found.get_foreign_keys, found.get_unique_constraints, found.get_indexes)
            ),
            connection.execute(sa.text(f"SELECT * FROM {name}")).all(),
        )
        for name in sorted(found.get_table_names())
    }


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


OLDER = Path(__file__).with_name("schema_0001.sql")
"""A registry that the program of the first schema wrote, as `sqlite3`'s dump: m@1.0.0 and 1.1.0 (2.0.0 deleted), n."""

SINCE_0001 = (
    *(f"DROP TABLE {name}" for name in ("rollout_windows", "rollout_evidence", "rollout_journal", "metric_reports")),
    *(f"DROP TABLE {name}" for name in ("rollouts", "webhook_places", "controller_lease", "learned_costs")),
    "ALTER TABLE models DROP COLUMN traffic",
    f"UPDATE {SCHEMA_TABLE} SET version_num = '0001'",
)


async def assert_migrated(url: str, clock: Clock) -> None:
    """Everything is as it was, and everything new is empty and can be used."""
    async with open_database(url) as database:
        registry, store = Registry(database, now=clock), RolloutStore(database, now=clock)
        before = await registry.snapshot()
        assert {
            name: [each.identity.version_text for each in model.versions] for name, model in before.models.items()
        } == {
            "m": ["1.1.0", "1.0.0"],
            "n": ["1.0.0"],
        }
        assert before.models["m"].aliases == {"canary": NEW, "stable": OLD}
        assert {model.traffic for model in before.models.values()} == {NO_TRAFFIC}
        found = await registry.verify_audit()
        assert (found.problem, found.entries) == ("", before.revision)
        assert (await store.lease(), await store.active(), await store.last_place()) == (None, [], 0)
        lease = await store.take_lease("s1", seen=None)
        begun = await store.begin("r1", "m", change_to(500), actor="ann", expected_revision=before.models["m"].revision)
        await store.publish(window())
        await store.write("r1", end("aborted"), actor="ann", expected_revision=begun.revision, lease=lease)
        await registry.register(draft("1.0.0", "o"), actor="ann")
        assert (await registry.model("o")).traffic == NO_TRAFFIC
        assert (await registry.verify_audit()).problem == ""


async def test_a_file_of_the_first_schema_is_migrated_with_all_that_is_in_it(tmp_path: Path, clock: Clock, caplog):
    """Its models have no traffic."""
    caplog.set_level(logging.INFO)
    connection = sqlite3.connect(tmp_path / "registry.db")
    connection.executescript(OLDER.read_text())
    connection.close()
    await assert_migrated(f"sqlite:///{tmp_path / 'registry.db'}", clock)
    assert "'before': '0001', 'after': '0003'" in caplog.text


async def test_a_database_of_the_first_schema_is_migrated_with_all_that_is_in_it(
    kind: str, tmp_path: Path, clock: Clock
):
    """Its models have no traffic; on each kind of database."""
    url = await empty_url(kind, tmp_path)
    async with open_database(url) as database:
        registry = Registry(database, now=clock)
        for version in ("1.0.0", "1.1.0"):
            await registry.register(draft(version), actor="ann")
        await registry.register(draft("1.0.0", "n"), actor="ann")
        await registry.set_alias("m", "canary", "1.1.0", actor="ann")
    await execute(url, *SINCE_0001)
    await assert_migrated(url, clock)
