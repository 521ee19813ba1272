"""Rows 67, 73, 74 and 76: the disk and the database do what they should not, and predictions go on."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from serinus.registry.sql.tables import SCHEMA_TABLE
from serinus_client import DataLost, NotLoaded, Overloaded, Refused, SerinusError, Unavailable
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually, place, refusal, sqlite_place, times
from tests.support.disks import sha256
from tests.support.invariants import check_lags
from tests.support.running_clock import running_clock


def stored(one: Place, content: bytes) -> Path:
    """Where the store keeps a content."""
    digest = sha256(content)
    return one.folder / "state" / "artifacts" / "sha256" / digest[:2] / digest[2:]


def flip(file: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o640)
    file.write_bytes(content)


async def test_a_file_that_changed_on_the_disk_is_never_served(forks: Nursery, home: Path):
    """Row 67: what is loaded goes on from memory; after a restart the index says why, and registering again mends."""
    async with sqlite_place(forks, home / "one") as one:
        await one.register("lost", "1.0.0", times(2))
        await one.register("kept", "1.0.0", times(3))
        for model, factor in (("lost", 2), ("kept", 3)):
            await eventually(lambda model=model, factor=factor: one.serves(model, factor))
        async with one.undisturbed():
            flip(stored(one, times(2)))
            assert await one.factor("lost") == 2
    async with sqlite_place(forks, home / "one") as one:
        async with one.undisturbed():
            assert await one.factor("kept") == 3
            ((state, reason),) = (await one.index("lost")).values()
            assert state == "UNAVAILABLE"
            assert "sha256" in reason
            error = await refusal(one.client.admin.load_model("lost"), DataLost, "HASH_MISMATCH")
            assert error.code is grpc.StatusCode.DATA_LOSS
            await refusal(one.factor("lost"), NotLoaded, "NOT_LOADED", "no version of it serves")
            again = await one.register("lost", "1.0.0", times(2))
            assert not again.created
            await one.client.admin.load_model("lost")
            assert await one.factor("lost") == 2
        assert any("lost" in str(event) for event in one.server.events() if event["level"] == "warning")


@contextlib.contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Another process writes, and does not come to an end."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_a_database_that_somebody_else_has_locked(forks: Nursery, home: Path):
    """Row 74: a write waits for a while and says when to come back; reads and predictions do not wait."""
    async with sqlite_place(forks, home / "one") as one:
        await one.register("m", "1.0.0", times(2))
        await eventually(lambda: one.serves("m", 2))
        assert one.database is not None
        clock = running_clock()
        async with one.undisturbed() as took:
            with _locked(one.database):
                started = time.perf_counter()
                error = await refusal(
                    one.client.registry.set_tags("m", "", {"a": "b"}), Unavailable, "STORE_UNAVAILABLE", "locked"
                )
                waited_s = time.perf_counter() - started
                assert (await one.client.registry.model("m")).name == "m"
                assert await one.factor("m") == 2
                assert (await one.readyz())["registry"] == "followed"
            version = await one.client.registry.set_tags("m", "", {"a": "b"})
        look = await one.server.look()
        assert 1 < waited_s < 15
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert error.retry_after_s
        assert max(took) < 1, "predictions do not wait for the lock"
        assert dict(version.tags) == {"a": "b"}
        check_lags(look, clock)


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    disk = home / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_a_full_disk_refuses_what_is_written_and_nothing_else(forks: Nursery, home: Path, small_disk: Path):
    """Row 73: a registration that does not fit says so and leaves nothing; when there is room again, it works."""
    async with place(
        forks, home / "one", state=str(small_disk / "state"), database=small_disk / "state" / "registry.db"
    ) as one:
        await one.register("m", "1.0.0", times(2))
        await eventually(lambda: one.serves("m", 2))
        big = times(3, padding=150_000)
        async with one.undisturbed():
            # 1. no room for the upload; 2. room for the upload, and none to keep it; 3. no room for a row
            ballast = small_disk / "ballast"
            for left_bytes in (len(big) // 2, len(big) * 3 // 2):
                _fill(ballast, left_bytes)
                error = await refusal(one.register("m", "1.1.0", big), Overloaded, "DISK_FULL", "room")
                assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert await one.factor("m") == 2
                assert not list((small_disk / "state" / "staging").glob("*/*"))
                assert not list((small_disk / "state" / "artifacts" / "tmp").iterdir())
                ballast.unlink()
            _fill(ballast, 0)
            with contextlib.suppress(SerinusError):
                for number in range(200):  # until the write-ahead log has to grow
                    await one.client.registry.set_tags("m", "1.0.0", {f"tag{number % 30}": "x" * 500 + str(number)})
            error = await refusal(
                one.client.registry.set_tags("m", "1.0.0", {"last": "y" * 512}), Overloaded, "DISK_FULL", "full"
            )
            assert await one.factor("m") == 2
            assert (await one.client.registry.model("m")).name == "m"
            ballast.unlink()
            await one.client.registry.set_tags("m", "1.0.0", {"last": "y"})
            await one.register("m", "1.1.0", big, aliases=["stable"])
            await eventually(lambda: one.serves("m", 3))
        await one.check_registry()


def _fill(ballast: Path, left_bytes: int) -> None:
    """Take all room but `left_bytes`."""
    free = os.statvfs(ballast.parent)
    with ballast.open("wb", buffering=0) as file:
        file.write(b"\0" * max(0, free.f_bavail * free.f_frsize - left_bytes))


async def test_a_server_starts_on_a_full_disk(forks: Nursery, home: Path, small_disk: Path):
    """Row 73: it serves what it saw last, says what is wrong, and goes on by itself when there is room."""
    state = str(small_disk / "state")
    async with place(forks, home / "one", state=state) as one:
        await one.register("m", "1.0.0", times(2))
        await eventually(lambda: one.serves("m", 2))
    _fill(small_disk / "ballast", 0)
    async with place(forks, home / "one", state=state) as one, one.undisturbed():
        assert await one.factor("m") == 2
        assert (await one.readyz())["registry"] == "behind"
        for call in (one.client.registry.set_tags("m", "", {"a": "b"}), one.register("m", "1.1.0", times(3))):
            await refusal(call, Overloaded, "DISK_FULL", "full")
        (small_disk / "ballast").unlink()
        await eventually(lambda: _is_followed(one))
        await one.register("m", "1.1.0", times(3), aliases=["stable"])
        await eventually(lambda: one.serves("m", 3))
        assert [event for event in one.server.events() if event["level"] == "error"] == []


async def test_a_database_that_is_newer_or_damaged_is_not_written(forks: Nursery, home: Path):
    """Row 76: the server starts with what it saw last, and serves; it writes nothing that it does not understand."""
    # At once, because each waits a while for its database when it starts.
    await asyncio.gather(_newer(forks, home / "newer"), _damaged(forks, home / "damaged"))


async def _left(forks: Nursery, folder: Path) -> Path:
    """The database of a server that was stopped."""
    async with sqlite_place(forks, folder) as one:
        await one.register("m", "1.0.0", times(2))
        await eventually(lambda: one.serves("m", 2))
    return folder / "state" / "registry.db"


async def _newer(forks: Nursery, folder: Path) -> None:
    database = await _left(forks, folder)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        (before,) = connection.execute(f"SELECT version_num FROM {SCHEMA_TABLE}").fetchone()
        connection.execute(f"UPDATE {SCHEMA_TABLE} SET version_num = 'r9999'")
        connection.commit()
    async with place(forks, folder) as one, one.undisturbed():
        assert await one.factor("m") == 2
        assert (await one.readyz())["registry"] == "behind"
        await refusal(one.client.registry.set_tags("m", "", {"a": "b"}), Refused, "SCHEMA_NEWER", "newer")
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute(f"UPDATE {SCHEMA_TABLE} SET version_num = ?", (before,))
            connection.commit()
        await eventually(lambda: _is_followed(one))
        await one.client.registry.set_tags("m", "", {"a": "b"})


async def _is_followed(one: Place) -> bool:
    return (await one.readyz())["registry"] == "followed"


async def _damaged(forks: Nursery, folder: Path) -> None:
    database = await _left(forks, folder)
    content = bytearray(await asyncio.to_thread(database.read_bytes))
    for page in range(4096, len(content), 4096):
        content[page : page + 64] = b"\xa5" * 64
    await asyncio.to_thread(database.write_bytes, content)
    async with place(forks, folder) as one, one.undisturbed():
        assert await one.factor("m") == 2
        await refusal(one.client.registry.set_tags("m", "", {"a": "b"}), DataLost, "DATABASE_DAMAGED", "damaged")
        assert (await one.readyz())["registry"] == "behind"
