"""How a process learns of writes, and what it believes while the database is gone."""

import asyncio
import contextlib
import dataclasses
import logging
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from serinus.config.version_facts import VersionFacts, dump_version_facts
from serinus.core.errors import StoreUnavailable
from serinus.registry.following import NOTHING_KNOWN, Follower
from serinus.registry.records import Snapshot
from serinus.registry.registry import Registry
from serinus.registry.saved_snapshot import SavedSnapshot
from serinus.registry.sql.database import open_database
from tests.registry.databases import kind, migrated_url, postgres, url
from tests.registry.drafts import Clock, draft

__all__ = ["kind", "url"]


class Following:
    """A follower that runs, and a registry of another server."""

    def __init__(self, follower: Follower, own: Registry, other: Registry) -> None:
        self.follower = follower
        self.own = own
        self.other = other

    async def reached(self, is_so: Callable[[Follower], bool]) -> None:
        """Wait until something is so of the follower."""
        async with asyncio.timeout(30):
            while not is_so(self.follower):  # noqa: ASYNC110 - the follower has no event for what is asked here
                await asyncio.sleep(0.005)

    async def sees(self, revision: int) -> None:
        """Wait for a revision."""
        await self.reached(lambda follower: follower.snapshot.revision == revision)


@contextlib.asynccontextmanager
async def following(
    url: str, *, known: Snapshot = NOTHING_KNOWN, saved: SavedSnapshot | None = None
) -> AsyncIterator[Following]:
    """Two servers; the first one follows."""
    async with open_database(url, busy_timeout_s=2) as own, open_database(url, busy_timeout_s=2) as other:
        registry = Registry(own, now=Clock())
        follower = Follower(registry, own, known=known, saved=saved)
        task = asyncio.create_task(follower.run())
        try:
            yield Following(follower, registry, Registry(other, now=Clock()))
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()


async def test_the_writes_of_others_are_seen_soon(url: str):
    """In less than a quarter of a second; one's own at once."""
    async with following(url) as world:
        await world.other.register(draft("1.0.0"), actor="ann")
        await world.sees(1)
        changes = world.follower.changes()
        assert (await anext(changes)).revision == 1
        waits_s: dict[str, list[float]] = {"own": [], "other": []}
        for number in range(6):
            for name, registry in (("own", world.own), ("other", world.other)):
                record = await registry.set_notes("m", "1.0.0", f"{name} {number}", actor="ann")
                begun = time.monotonic()
                snapshot = await asyncio.wait_for(anext(changes), 5)
                waits_s[name].append(time.monotonic() - begun)
                assert snapshot.revision == record.revision
        await changes.aclose()
        assert not world.follower.is_behind
    assert statistics.median(waits_s["other"]) < 0.25
    assert statistics.median(waits_s["own"]) < 0.05


async def test_who_comes_late_sees_the_newest_alone(url: str):
    """A slow reader is not told of what is over."""
    async with following(url) as world:
        await world.follower.wait_until_read()
        changes = world.follower.changes()
        assert await anext(changes) == NOTHING_KNOWN
        for patch in range(3):
            await world.own.register(draft(f"1.0.{patch}"), actor="ann")
        await world.sees(3)
        assert (await anext(changes)).revision == 3
        await changes.aclose()


async def test_an_empty_registry_is_no_change(url: str):
    """It was read, and it is not behind."""
    async with following(url) as world:
        assert world.follower.is_behind
        assert world.follower.trouble == "the registry's database was not read yet"
        assert await world.follower.wait_until_read() is NOTHING_KNOWN
        assert (world.follower.is_behind, world.follower.trouble) == (False, "")


async def test_postgresql_may_go_and_come_back(tmp_path: Path):
    """The last snapshot stays; what was written meanwhile is seen when it is back."""
    url = await migrated_url("postgresql", tmp_path)
    async with following(url) as world:
        await world.other.register(draft("1.0.0"), actor="ann")
        await world.sees(1)
        try:
            await postgres().stop()
            await world.reached(lambda follower: follower.is_behind)
            assert world.follower.snapshot.revision == 1
            assert world.follower.trouble == "the registry's database cannot be reached now"
        finally:
            await postgres().start()
        await world.other.set_notes("m", "1.0.0", "back", actor="ann")
        await world.sees(2)
        assert not world.follower.is_behind


async def test_sqlites_file_may_go_and_come_back(tmp_path: Path):
    """As when its disk is unmounted for a while."""
    url = await migrated_url("sqlite", tmp_path)
    async with following(url) as world:
        await world.other.register(draft("1.0.0"), actor="ann")
        await world.sees(1)
        (tmp_path / "registry.db").rename(tmp_path / "away")
        await world.reached(lambda follower: follower.is_behind)
        assert world.follower.snapshot.revision == 1
        (tmp_path / "away").rename(tmp_path / "registry.db")
        await world.other.set_notes("m", "1.0.0", "back", actor="ann")
        await world.sees(2)


async def test_a_registry_that_went_back_is_believed_and_logged(tmp_path: Path, caplog):
    """A failover may lose what was acknowledged: the database says what is, the log says that it was more."""
    url = await migrated_url("sqlite", tmp_path)
    caplog.set_level(logging.ERROR)
    file = tmp_path / "registry.db"
    async with following(url) as world:
        await world.other.register(draft("1.0.0"), actor="ann")
        connection = sqlite3.connect(file)
        connection.execute("VACUUM INTO ?", (str(tmp_path / "backup.db"),))
        connection.close()
        await world.other.register(draft("1.0.1"), actor="ann")
        await world.other.register(draft("1.0.2"), actor="ann")
        await world.sees(3)
        for name in ("registry.db-wal", "registry.db-shm"):
            (tmp_path / name).unlink()
        (tmp_path / "backup.db").rename(file)
        await world.sees(1)
        assert [each.identity.version_text for each in world.follower.snapshot.models["m"].versions] == ["1.0.0"]
    assert "registry went back" in caplog.text


async def test_a_server_starts_with_what_it_knew(tmp_path: Path):
    """Every snapshot was saved; the database is not there when the server starts again."""
    url = await migrated_url("sqlite", tmp_path)
    saved = SavedSnapshot(tmp_path / "state" / "snapshot.json")
    async with following(url, saved=saved) as world:
        await world.own.register(draft("1.0.0"), actor="ann")
        await world.own.register(draft("1.1.0"), actor="ann")
        await world.sees(2)
        last = world.follower.snapshot
        await world.reached(lambda _: saved.read() == last)
    known = saved.read()
    assert known is not None
    async with following(f"sqlite:////proc/nowhere/{tmp_path.name}.db", known=known, saved=saved) as world:
        await world.reached(lambda follower: "cannot be reached" in follower.trouble)
        assert (world.follower.is_behind, world.follower.snapshot) == (True, last)
    async with following(url, known=known) as world:
        assert await world.follower.wait_until_read() is known


async def test_a_snapshot_that_cannot_be_saved_harms_nothing(tmp_path: Path, caplog):
    """A full disk is the log's business."""
    url = await migrated_url("sqlite", tmp_path)
    caplog.set_level(logging.WARNING)
    async with following(url, saved=SavedSnapshot(Path("/proc/nowhere/snapshot.json"))) as world:
        await world.own.register(draft("1.0.0"), actor="ann")
        await world.sees(1)
        await world.own.set_notes("m", "1.0.0", "again", actor="ann")
        await world.sees(2)
    assert "snapshot not saved" in caplog.text
    assert "nowhere" not in caplog.text


class Flaky:
    """Raises what it was given, one after the other, then says that nothing was written."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def refreshed(self, snapshot: Snapshot) -> Snapshot:
        if self.errors:
            raise self.errors.pop(0)
        return snapshot


async def test_a_follower_tries_again_less_and_less_often(tmp_path: Path, caplog):
    """Up to every five seconds, through trouble and through bugs; each trouble is logged once."""
    url = await migrated_url("sqlite", tmp_path)
    caplog.set_level(logging.INFO)
    waits_s: list[float] = []

    async def note(seconds: float) -> None:
        waits_s.append(seconds)

    async with open_database(url) as database:
        registry = Flaky(*(StoreUnavailable("gone") for _ in range(7)), KeyError("a bug"))
        follower = Follower(registry, database, sleep=note)
        task = asyncio.create_task(follower.run())
        await asyncio.wait_for(follower.wait_until_read(), 10)
        assert not follower.is_behind
        task.cancel()
        await asyncio.wait({task})
    assert waits_s == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert [caplog.text.count(line) for line in ("'gone'", "a bug", "'registry followed'")] == [1, 2, 1]


@pytest.fixture
async def snapshot(tmp_path: Path) -> Snapshot:
    """With everything that a record can hold."""
    async with open_database(await migrated_url("sqlite", tmp_path)) as database:
        registry = Registry(database, now=Clock())
        await registry.register(
            draft("1.0.0", metrics={"accuracy": 0.1}, description="a\nb: ü", tags={"a": "b"}), actor="ann"
        )
        await registry.register(draft("1.1.0"), aliases=["canary"], actor="ann")
        await registry.register(draft("1.0.0", "n"), actor="ann")
        await registry.archive("m", "1.1.0", actor="ann")
        await registry.set_notes("m", "1.1.0", "notes", actor="ann")
        return await registry.snapshot()


def test_a_saved_snapshot_is_read_as_it_was(snapshot: Snapshot, tmp_path: Path):
    """Nothing else is left in its folder; it is for its owner alone."""
    saved = SavedSnapshot(tmp_path / "folder" / "snapshot.json")
    assert saved.read() is None
    for each in (NOTHING_KNOWN, snapshot):
        saved.write(each)
        assert saved.read() == each
    [file] = (tmp_path / "folder").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_facts_are_written_once(snapshot: Snapshot, tmp_path: Path):
    """A registry of thousands of versions is saved at each write; their facts never change."""
    written: list[VersionFacts] = []

    def dump(facts: VersionFacts) -> str:
        written.append(facts)
        return dump_version_facts(facts)

    saved = SavedSnapshot(tmp_path / "snapshot.json", dump=dump)
    saved.write(snapshot)
    distinct = {id(record.facts) for model in snapshot.models.values() for record in model.versions}
    assert len(written) == len(distinct)
    newer = dataclasses.replace(snapshot, revision=6)
    saved.write(newer)
    assert len(written) == len(distinct)
    assert saved.read() == newer


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _text: b"",
        lambda text: text[:-20],
        lambda text: text.replace(b'"revision":5', b'"revision":6'),
        lambda text: text.replace(b'"format":1', b'"format":2'),
        lambda _text: b"[]",
        lambda _text: b"\xff\xfe",
        lambda _text: b"[" * 100_000,
    ],
)
def test_a_saved_snapshot_that_cannot_be_read_is_ignored(
    snapshot: Snapshot, tmp_path: Path, caplog, spoil: Callable[[bytes], bytes]
):
    """The log says so; the database will tell anyway."""
    file = tmp_path / "snapshot.json"
    saved = SavedSnapshot(file)
    saved.write(snapshot)
    file.write_bytes(spoil(file.read_bytes()))
    assert saved.read() is None
    assert "saved snapshot ignored" in caplog.text


def test_a_save_that_fails_keeps_the_one_before(snapshot: Snapshot, tmp_path: Path):
    """And leaves no half-written file."""
    folder = tmp_path / "folder"
    saved = SavedSnapshot(folder / "snapshot.json")
    saved.write(snapshot)
    with pytest.raises(ValueError, match="JSON"):
        saved.write(Snapshot(float("nan"), {}))  # type: ignore[arg-type]  # what cannot be written
    assert saved.read() == snapshot
    assert len(list(folder.iterdir())) == 1
