"""Several servers and one registry: each follows what the others write, and serves on when the database is gone."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from serinus_client import NO_RETRIES, AsyncClient, Refused, Unavailable
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually, place, refusal, sqlite_place, times
from tests.registry.databases import Postgres, migrated_url, postgres

FOLLOWS_S = 1.0  # every server serves what an alias names within a second, once it is loaded


async def _two_stables(one: Place) -> None:
    """A model with two versions that both serve, so that a move of `stable` loads nothing."""
    await one.register("m", "1.0.0", times(2))
    await one.register("m", "1.1.0", times(3), aliases=["canary"])


async def _follow_each_other(one: Place, other: Place) -> None:
    """What each writes, both serve, within a second; the neighbours of both notice nothing."""
    async with one.undisturbed(), other.undisturbed():
        await _two_stables(one)
        for each in (one, other):
            await eventually(lambda each=each: each.serves("m", 3, "canary"))
            await eventually(lambda each=each: each.serves("m", 2))
        for round_ in range(4):
            writer = (one, other)[round_ % 2]
            version, factor = (("1.1.0", 3), ("1.0.0", 2))[round_ % 2]
            await writer.client.registry.set_alias("m", "stable", version)
            for each in (one, other):
                await eventually(lambda each=each, factor=factor: each.serves("m", factor), FOLLOWS_S)
        # What one unloads, nobody serves any more.
        await other.client.admin.unload_model("m", "1.1.0")
        await eventually(lambda: _has_gone(one, "m", "1.1.0"), FOLLOWS_S + 5)
        entries = (await one.client.admin.verify_audit()).entries
        for each in (one, other):  # a server acts by its own write at once, and may read it from the database later
            await eventually(lambda each=each: _is_at(each, entries), FOLLOWS_S)


async def _is_at(each: Place, revision: int) -> bool:
    return (await each.readyz())["revision"] == revision


async def _has_gone(each: Place, model: str, version: str) -> bool:
    return not await each.serves(model, 3, version)


async def test_two_servers_on_one_folder_follow_each_other(forks: Nursery, home: Path):
    """SQLite, and the artifacts beside it."""
    database = home / "registry.db"
    tables = f'[registry]\ndatabase = "sqlite:///{database}"\nartifacts = "{home / "artifacts"}"\n'
    async with (
        place(forks, home / "one", tables=tables, database=database) as one,
        place(forks, home / "other", tables=tables, database=database) as other,
    ):
        await _follow_each_other(one, other)
        await one.check_registry()


async def test_two_servers_share_a_whole_state_folder(forks: Nursery, home: Path):
    """As several workers of one machine would."""
    state = str(home / "state")
    async with (
        place(forks, home / "one", state=state, database=home / "state" / "registry.db") as one,
        place(forks, home / "other", state=state, database=home / "state" / "registry.db") as other,
    ):
        async with one.undisturbed(), other.undisturbed():
            await asyncio.gather(
                one.register("a", "1.0.0", times(2)),
                other.register("b", "1.0.0", times(3)),
                one.register("c", "1.0.0", times(4)),
                other.register("c", "1.0.0", times(4)),
            )
            for each in (one, other):
                for model, factor in (("a", 2), ("b", 3), ("c", 4)):
                    await eventually(lambda each=each, model=model, factor=factor: each.serves(model, factor))
        await one.check_registry()
        assert [entry.action async for entry in one.client.admin.list_audit()] == ["version.register"] * 3


@contextlib.asynccontextmanager
async def _stopped(database: Postgres) -> AsyncIterator[None]:
    await database.stop()
    try:
        yield
    finally:
        await database.start()


@pytest.fixture
async def tables(home: Path) -> str:
    """The registry in a PostgreSQL of its own and in a shared folder."""
    url = await migrated_url("postgresql", home)
    return f'[registry]\ndatabase = "{url}"\nartifacts = "{home / "artifacts"}"\n'


async def test_servers_on_one_postgresql_follow_it_lose_it_and_find_it_again(forks: Nursery, home: Path, tables: str):
    """Row 75: while it is stopped every prediction is answered, writes say when to come back, /readyz tells; one that
    starts meanwhile serves what it last saw; and all recover by themselves."""
    async with place(forks, home / "one", tables=tables) as one, contextlib.AsyncExitStack() as others:
        other = await others.enter_async_context(place(forks, home / "other", tables=tables))
        seen: list[int] = []
        watching = asyncio.create_task(_watch(one, seen))
        await _follow_each_other(one, other)
        assert (await one.readyz())["registry"] == "followed"
        known = (await one.readyz())["revision"]
        async with _stopped(postgres()), one.undisturbed():
            await eventually(lambda: _says(one, "behind"))
            assert (await one.readyz())["revision"] == known
            assert await one.factor("m") == 2
            started = time.perf_counter()
            error = await refusal(
                one.client.registry.set_alias("m", "stable", "1.1.0"), Unavailable, "STORE_UNAVAILABLE", "cannot be"
            )
            assert error.code is grpc.StatusCode.UNAVAILABLE
            assert error.retry_after_s is not None
            assert error.retry_after_s > 0
            assert time.perf_counter() - started < 10
            for call in (
                one.register("new", "1.0.0", times(5)),
                one.client.registry.model("m"),
                one.client.admin.unload_model("m"),
                one.client.admin.verify_audit(),
            ):
                await refusal(call, Unavailable, "STORE_UNAVAILABLE")
            # One that is restarted meanwhile knows what it has seen before.
            await others.aclose()
            async with place(forks, home / "other", tables=tables) as late, late.undisturbed():
                assert await late.factor("m") == 2
                assert (await late.readyz())["registry"] == "behind"
                assert (await late.readyz())["revision"] == known
                await postgres().start()
                for each in (one, late):
                    await eventually(lambda each=each: _says(each, "followed"))
                await late.client.registry.set_tags("m", "1.0.0", {"after": "the storm"})
                await one.register("new", "1.0.0", times(5))
                for each in (one, late):
                    await eventually(lambda each=each: each.serves("new", 5))
                await late.check_registry()
                newest = (await late.readyz())["revision"]
                await eventually(lambda: _saw(seen, newest))
                watching.cancel()
                assert seen == list(range(1, newest + 1)), "each change once, in order, and none was missed"
    assert [event for event in one.server.events() if event["level"] == "error"] == []


async def _watch(one: Place, seen: list[int]) -> None:
    async with AsyncClient(one.server.address, retry=NO_RETRIES) as client:
        async for change in client.registry.watch():
            seen.append(change.revision)  # noqa: PERF401 - it never ends: each is looked at as it comes


async def _saw(seen: list[int], revision: int) -> bool:
    return bool(seen) and seen[-1] >= revision


async def _says(each: Place, registry: str) -> bool:
    return (await each.readyz())["registry"] == registry


async def test_a_registry_that_was_restored_from_a_backup_is_followed_back(forks: Nursery, home: Path):
    """Row 75: the database has lost its last writes. What they said is no more, and who watched is told so; while the
    file is away nothing can be written, and no new one is made in its place."""
    backup, away = home / "backup.db", home / "away"
    async with sqlite_place(forks, home / "one") as one:
        database = home / "one" / "state" / "registry.db"
        await _two_stables(one)
        await eventually(lambda: one.serves("m", 2))
        with (
            contextlib.closing(sqlite3.connect(database)) as source,
            contextlib.closing(sqlite3.connect(backup)) as copy,
        ):
            source.backup(copy)
        await one.client.registry.set_alias("m", "stable", "1.1.0")
        await one.register("late", "1.0.0", times(5))
        await eventually(lambda: one.serves("late", 5))
        watching = asyncio.create_task(_watch(one, []))
        async with one.undisturbed():
            _move(database, away)
            await eventually(lambda: _says(one, "behind"))
            await refusal(one.client.registry.set_tags("m", "", {"a": "b"}), Unavailable, "STORE_UNAVAILABLE")
            assert not database.exists()
            assert await one.factor("m") == 3
            backup.rename(database)
            await eventually(lambda: one.serves("m", 2))
            assert await one.index("late") == {}
            await refusal(watching, Refused, "REVISION_AHEAD", "read it anew")
            await one.client.registry.set_tags("m", "1.0.0", {"after": "the restore"})


def _move(database: Path, folder: Path) -> None:
    """Take a database away, as it is, with the files beside it."""
    folder.mkdir()
    for file in database.parent.glob(f"{database.name}*"):
        file.rename(folder / file.name)
