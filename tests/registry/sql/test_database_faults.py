"""What callers are told when the database is locked, full, damaged, gone or stopped; and nothing waits for ever."""

import asyncio
import logging
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from serinus.core.errors import DataLost, ServerError, StoreFull, StoreUnavailable
from serinus.registry.registry import Registry
from serinus.registry.sql.database import Database, open_database
from tests.registry.databases import Postgres, clock, migrated_url, postgres
from tests.registry.drafts import Clock, draft
from tests.support.running_clock import running_clock

__all__ = ["clock"]

LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
async def url(tmp_path: Path) -> str:
    return await migrated_url("sqlite", tmp_path)


@pytest.fixture
def file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with open_database(url, busy_timeout_s=0.3) as opened:
        yield opened


@pytest.fixture
def registry(database: Database, clock: Clock) -> Registry:
    return Registry(database, now=clock)


async def longest_pause_s(stop: asyncio.Event) -> float:
    """Of the event loop, until `stop` is set: what it computed at a stretch, or waited for while others could run."""
    longest = 0.0
    clock = running_clock()
    while not stop.is_set():
        before, computed = clock.now(), time.thread_time()
        await asyncio.sleep(0.005)
        longest = max(longest, clock.now() - before, time.thread_time() - computed)
    return longest


async def test_a_database_locked_by_another_process_is_unavailable(registry: Registry, file: Path):
    """After the bounded wait; reads go on, the event loop never waits, and the next write succeeds."""
    await registry.register(draft("1.0.0"), actor="ann")
    locker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOCKER, file, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert locker.stdout is not None
    assert await locker.stdout.readline() == b"locked\n"
    stop = asyncio.Event()
    watching = asyncio.create_task(longest_pause_s(stop))
    begun = time.monotonic()
    writes = [registry.register(draft(f"1.0.{patch}"), actor="ann") for patch in (1, 2)]
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert 0.25 < time.monotonic() - begun < 5
    assert [type(answer) for answer in answers] == [StoreUnavailable, StoreUnavailable]
    assert all(answer.retry_after_s == 1.0 and "locked by another writer" in answer.message for answer in answers)
    assert (await registry.model("m")).revision == 1
    await locker.communicate(b"")
    stop.set()
    assert await watching < 0.2
    assert (await registry.register(draft("1.0.1"), actor="ann")).revision == 2


async def test_a_writer_that_is_cancelled_is_not_left_half_way(registry: Registry):
    """A write that has begun goes on to its end; the next one finds it."""
    await registry.register(draft("1.0.0"), actor="ann")
    for spins in range(0, 120, 7):
        task = asyncio.create_task(registry.register(draft(f"1.1.{spins}"), actor="ann"))
        for _ in range(spins):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    await registry.register(draft("2.0.0"), actor="ann")
    found = await registry.verify_audit()
    assert (found.problem, found.entries) == ("", len((await registry.model("m")).versions))


async def test_the_file_is_for_its_owner_alone(tmp_path: Path, clock: Clock):
    """It is created with its folder at the first use, not before."""
    file = tmp_path / "state" / "deep" / "registry.db"
    async with open_database(f"sqlite:///{file}") as database:
        assert not file.parent.exists()
        await Registry(database, now=clock).register(draft("1.0.0"), actor="ann")
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}
    assert modes == dict.fromkeys(("registry.db", "registry.db-wal", "registry.db-shm"), 0o600)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_every_commit_is_on_the_disk_when_it_is_answered(database: Database):
    """Write-ahead log, synchronised at each commit; foreign keys hold."""

    async def pragmas(connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in names]

    assert await database.read(pragmas) == ["wal", 2, 1, 300]


def damage(file: Path) -> None:
    """Overwrite the root page of some table with noise."""
    connection = sqlite3.connect(file)
    [root] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit'").fetchone()
    [size] = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with file.open("r+b") as stream:
        stream.seek((root - 1) * size)
        stream.write(b"\xa5" * size)


async def test_a_damaged_database_takes_no_writes(url: str, file: Path, clock: Clock, caplog):
    """What can be read is read; the sentence says what to do, the log says it at once."""
    async with open_database(url) as database:
        await Registry(database, now=clock).register(draft("1.0.0"), actor="ann")
    damage(file)
    caplog.set_level(logging.ERROR)
    async with open_database(url) as database:
        registry = Registry(database, now=clock)
        with pytest.raises(DataLost, match="restore it from a backup") as lost:
            await registry.register(draft("1.0.1"), actor="ann")
        assert lost.value.reason == "DATABASE_DAMAGED"
        assert [each.identity.version_text for each in (await registry.model("m")).versions] == ["1.0.0"]
        with pytest.raises(DataLost):
            await registry.audit(0)
        assert repr(database) == "<Database sqlite [damaged]>"
    assert "database damaged" in caplog.text


async def test_damage_that_is_found_later_ends_the_writes_too(registry: Registry, file: Path):
    """Whole pages beside a damaged one are not written to."""
    await registry.register(draft("1.0.0"), actor="ann")
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    damage(file)
    # Another database of the same file has no page of it in memory.
    async with open_database(f"sqlite:///{file}") as database:
        other = Registry(database, now=Clock())
        with pytest.raises(DataLost):
            await other.register(draft("1.0.1"), actor="ann")
    with pytest.raises(DataLost):
        await registry.set_notes("m", "1.0.0", "x" * 60_000, actor="ann")
    assert repr(registry) == "<Registry <Database sqlite [damaged]>>"


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be looked at as one" * 20, b"SQLite"])
async def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, clock: Clock, content: bytes):
    """Somebody may want it back."""
    file = tmp_path / "registry.db"
    file.write_bytes(content)
    async with open_database(f"sqlite:///{file}") as database:
        with pytest.raises(DataLost):
            await Registry(database, now=clock).register(draft("1.0.0"), actor="ann")
    assert file.read_bytes() == content


def files_of(folder: Path) -> list[Path]:
    """SQLite's, of the registry."""
    return list(folder.glob("registry.db*"))


async def test_a_file_that_was_taken_away_is_not_written_to(registry: Registry, file: Path, tmp_path: Path):
    """Nor made anew and empty; once it is back, everything works."""
    await registry.register(draft("1.0.0"), actor="ann")
    away = tmp_path / "away"
    away.mkdir()
    for each in (file, file.with_name("registry.db-wal"), file.with_name("registry.db-shm")):
        each.rename(away / each.name)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await registry.register(draft("1.0.1"), actor="ann")
    assert files_of(tmp_path) == []
    for each in away.iterdir():
        each.rename(tmp_path / each.name)
    assert (await registry.register(draft("1.0.1"), actor="ann")).revision == 2


async def test_a_backup_that_is_put_in_place_is_what_is_written_to(registry: Registry, file: Path, tmp_path: Path):
    """Not the old file, which nobody can find any more."""
    await registry.register(draft("1.0.0"), actor="ann")
    copy = sqlite3.connect(file)
    copy.execute("VACUUM INTO ?", (str(tmp_path / "backup.db"),))
    copy.close()
    await registry.register(draft("1.0.1"), actor="ann")
    for each in files_of(tmp_path):
        each.unlink()
    (tmp_path / "backup.db").rename(file)
    got = await registry.register(draft("1.0.2"), actor="ann")
    assert (got.revision, got.record.identity.number) == (2, 2)
    assert [each.identity.version_text for each in (await registry.model("m")).versions] == ["1.0.2", "1.0.0"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_is_told_and_recovers(small_disk: Path, clock: Clock):
    """Nothing of a refused write is there, everything that was answered is."""
    async with open_database(f"sqlite:///{small_disk / 'registry.db'}") as database:
        registry = Registry(database, now=clock)
        await registry.register(draft("1.0.0"), actor="ann")
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"\0" * (shutil.disk_usage(small_disk).free - 70_000))
        written = 0

        async def write_until_refused() -> None:
            nonlocal written
            for number in range(100):
                await registry.set_notes("m", "1.0.0", f"{number:05}" * 2000, actor="ann")
                written += 1

        with pytest.raises(StoreFull, match="disk of the registry's database is full") as full:
            await write_until_refused()
        assert full.value.reason == "DISK_FULL"
        assert await registry.current_revision() == 1 + written > 1
        ballast.unlink()
        await registry.set_notes("m", "1.0.0", "there is room", actor="ann")
        assert (await registry.verify_audit()).entries == 2 + written


async def test_a_read_only_disk_is_unavailable(small_disk: Path, clock: Clock):
    """Until it can be written again."""
    async with open_database(f"sqlite:///{small_disk / 'registry.db'}") as database:
        await Registry(database, now=clock).register(draft("1.0.0"), actor="ann")
    await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,ro", small_disk], check=True)
    async with open_database(f"sqlite:///{small_disk / 'registry.db'}") as database:
        registry = Registry(database, now=clock)
        with pytest.raises(StoreUnavailable):
            await registry.register(draft("1.0.1"), actor="ann")
        await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,rw", small_disk], check=True)
        assert (await registry.register(draft("1.0.1"), actor="ann")).revision == 2


@pytest.fixture
async def server() -> AsyncIterator[Postgres]:
    """PostgreSQL; it runs when the test ends, whatever the test did."""
    yield postgres()
    await postgres().start()


async def test_postgresql_that_stops_is_unavailable_and_comes_back(server: Postgres, tmp_path: Path, clock: Clock):
    """In the middle of writes: each is answered, no answered one is lost, and nobody restarts anything of ours."""
    url = await migrated_url("postgresql", tmp_path)
    async with open_database(url, busy_timeout_s=2) as database:
        registry = Registry(database, now=clock)
        await registry.register(draft("1.0.0"), actor="ann")
        answered: list[int] = []
        has_answered = asyncio.Event()
        refused: list[ServerError] = []

        async def write(writer: int) -> None:
            for number in range(1000):
                try:
                    record = await registry.set_tags("m", "1.0.0", changed={f"w{writer}": str(number)}, actor="ann")
                except ServerError as error:
                    refused.append(error)
                    return
                answered.append(record.revision)
                has_answered.set()

        writers = asyncio.gather(*(write(writer) for writer in range(4)))
        await has_answered.wait()
        stop = asyncio.Event()
        watching = asyncio.create_task(longest_pause_s(stop))
        await server.stop()
        await asyncio.wait_for(writers, 60)
        assert {type(error) for error in refused} == {StoreUnavailable}
        assert not [error for error in refused if "postgres" in error.message or "/" in error.message]
        with pytest.raises(StoreUnavailable, match="cannot be reached now"):
            await registry.model("m")
        stop.set()
        assert await watching < 0.2
        await server.start()
        entries = {entry.revision for entry in await registry.audit(0, limit=10_000)}
        assert entries >= set(answered)
        assert len(answered) + 1 <= len(entries) <= len(answered) + 1 + len(refused)
        await registry.set_tags("m", "1.0.0", changed={"back": "yes"}, actor="ann")
        assert (await registry.verify_audit()).problem == ""


async def test_a_lock_that_another_holds_in_postgresql_is_waited_for_in_bounded_time(tmp_path: Path, clock: Clock):
    """As in SQLite."""
    url = await migrated_url("postgresql", tmp_path)
    async with open_database(url, busy_timeout_s=0.3) as database, open_database(url) as other:
        registry = Registry(database, now=clock)
        await registry.register(draft("1.0.0"), actor="ann")
        locked, release = asyncio.Event(), asyncio.Event()

        async def hold(_connection: object) -> None:
            locked.set()
            await release.wait()

        holding = asyncio.create_task(other.write(hold))
        await locked.wait()
        with pytest.raises(StoreUnavailable, match="locked by another writer"):
            await registry.register(draft("1.0.1"), actor="ann")
        release.set()
        await holding
        assert (await registry.register(draft("1.0.1"), actor="ann")).revision == 2


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////proc/nowhere/registry.db",
        "postgresql://ann:topsecret@127.0.0.1:1/registry",
        "postgresql://ann:topsecret@/registry?host=/nowhere",
    ],
)
async def test_a_database_that_is_down_opens_and_refuses(url: str, clock: Clock, caplog):
    """A server starts without it; no message, log line or repr shows where it is or a password."""
    caplog.set_level(logging.INFO)
    async with open_database(url, busy_timeout_s=1) as database:
        registry = Registry(database, now=clock)
        for refusing in (registry.snapshot(), registry.register(draft("1.0.0"), actor="ann"), registry.audit(0)):
            with pytest.raises(StoreUnavailable) as refused:
                await refusing
            assert refused.value.message == "the registry's database cannot be reached now"
        assert repr(database).endswith("[not reached yet]>")
        shown = caplog.text + repr(database) + repr(registry) + repr(database.__dict__["_location"])
    assert not [secret for secret in ("topsecret", "nowhere", "127.0.0.1") if secret in shown]
    assert caplog.text.count("database in trouble") == 1
