"""Content in a folder: whole or not there, through kills, full disks and power losses."""

import asyncio
import errno
import os
import stat
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from serinus.core.errors import DataLost, InvalidInput, ServerError, StoreFull, StoreUnavailable
from serinus.registry.failpoints import Failpoint
from serinus.registry.files.blobs import StoredBlob
from serinus.registry.files.disk import CHUNK_BYTES, in_stoppable_thread
from serinus.registry.files.local_blobs import LocalBlobs
from tests.support.disks import FullDisk, LossyDisk, RecordingDisk, a_file, files_below, sha256

CONTENT = os.urandom(2 * CHUNK_BYTES + 5)
HASH = sha256(CONTENT)
NAME = f"sha256/{HASH[:2]}/{HASH[2:]}"


async def read(blobs: LocalBlobs, hash_: str, offset: int = 0) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(hash_, offset)])


async def listed(blobs: LocalBlobs) -> list[StoredBlob]:
    return [blob async for blob in blobs.list()]


def kept(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files_below(folder).items() if name != "lock"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_what_was_put_is_read_back(tmp_path: Path) -> None:
    """Whole, from an offset, as a file, in the list."""
    blobs = LocalBlobs(tmp_path / "store")
    await blobs.put(a_file(tmp_path, CONTENT), HASH)
    path = await blobs.path(HASH)
    assert path.read_bytes() == CONTENT
    assert await read(blobs, HASH) == CONTENT
    assert await read(blobs, HASH, 2 * CHUNK_BYTES) == CONTENT[-5:]
    assert await read(blobs, HASH, len(CONTENT) + 1) == b""
    assert await blobs.has([HASH, "0" * 64]) == {HASH}
    assert await listed(blobs) == [StoredBlob(HASH, path.stat().st_mtime, len(CONTENT))]


async def test_nobody_else_reads_and_nobody_writes_what_is_kept(tmp_path: Path) -> None:
    """Folders are the server's own, files are read only and have one name."""
    blobs = LocalBlobs(tmp_path / "store")
    await blobs.put(a_file(tmp_path, CONTENT), HASH)
    path = await blobs.path(HASH)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path.parent.parent, tmp_path / "store")]
    assert modes == [0o700] * 3
    assert stat.S_IMODE(path.stat().st_mode) & ~0o440 == 0
    assert path.stat().st_nlink == 1


async def test_bytes_are_written_before_their_name_and_the_name_before_the_end(tmp_path: Path) -> None:
    """What a power loss leaves is decided by this order."""
    disk = RecordingDisk(tmp_path / "store")
    blobs = LocalBlobs(tmp_path / "store", disk=disk, reach=lambda point: disk.calls.append(("reach", point.name)))
    await blobs.put(a_file(tmp_path, CONTENT), HASH)
    folder = f"sha256/{HASH[:2]}"
    assert disk.calls == [
        ("sync folder", ".."),
        ("sync folder", "."),
        ("sync folder", "."),
        ("sync folder", "sha256"),
        ("sync", "tmp/*"),
        ("reach", "BLOB_SYNCED"),
        ("rename", NAME),
        ("reach", "BLOB_RENAMED"),
        ("sync folder", folder),
        ("reach", "FOLDER_SYNCED"),
    ]


@pytest.mark.parametrize(
    ("point", "survivors"),
    [(Failpoint.BLOB_SYNCED, 0), (Failpoint.BLOB_RENAMED, 0), (Failpoint.FOLDER_SYNCED, 1)],
)
async def test_a_power_loss_leaves_whole_contents_or_none(tmp_path: Path, point: Failpoint, survivors: int) -> None:
    """At each failpoint, what is on the disk under its name is the content; after the last one it is there."""
    disk = LossyDisk()
    left: list[dict[Path, bytes]] = []

    def reach(reached: Failpoint) -> None:
        if reached is point:
            left.append({path: content for path, content in disk.durable.items() if "sha256" in path.parts})

    await LocalBlobs(tmp_path / "store", disk=disk, reach=reach).put(a_file(tmp_path, CONTENT), HASH)
    assert left == [dict([(tmp_path / "store" / NAME, CONTENT)] * survivors)]


async def test_a_name_that_was_not_yet_written_is_when_it_is_put_again(tmp_path: Path) -> None:
    """Whoever renamed it may have died before the folder was written: found there is not written there."""
    await LocalBlobs(tmp_path / "store").put(a_file(tmp_path, CONTENT), HASH)
    disk = RecordingDisk(tmp_path / "store")
    await LocalBlobs(tmp_path / "store", disk=disk).put(a_file(tmp_path, CONTENT), HASH)
    assert disk.calls == [("sync folder", f"sha256/{HASH[:2]}")]


async def test_putting_again_heals_a_damaged_content(tmp_path: Path) -> None:
    """Bytes that are not those of their name are replaced."""
    blobs = LocalBlobs(tmp_path / "store")
    await blobs.put(a_file(tmp_path, CONTENT), HASH)
    path = await blobs.path(HASH)
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    assert not await blobs.is_whole(HASH)
    await blobs.put(a_file(tmp_path, CONTENT), HASH)
    assert await blobs.is_whole(HASH)


async def test_a_file_that_changed_meanwhile_is_not_kept(tmp_path: Path) -> None:
    """The copy is hashed, not the promise."""
    blobs = LocalBlobs(tmp_path / "store")
    with pytest.raises(DataLost):
        await blobs.put(a_file(tmp_path, b"something else"), HASH)
    assert kept(tmp_path / "store") == {}


@pytest.mark.parametrize("cut", [0, 1])
async def test_a_transfer_that_ends_early_leaves_nothing(tmp_path: Path, cut: int) -> None:
    """Neither a name nor a temporary file."""

    async def chunks() -> AsyncIterator[bytes]:
        if cut:
            yield CONTENT[:100]
        raise StoreUnavailable("gone")

    blobs = LocalBlobs(tmp_path / "store")
    with pytest.raises(StoreUnavailable):
        await blobs.receive(chunks(), HASH)
    assert kept(tmp_path / "store") == {}


async def test_a_full_disk_keeps_nothing_and_recovers(tmp_path: Path, small_disk: Path) -> None:
    """What does not fit is refused and leaves no trace; what fits afterwards is kept."""
    blobs = LocalBlobs(small_disk / "store")
    await blobs.put(a_file(tmp_path, b"small"), sha256(b"small"))
    with pytest.raises(StoreFull) as refused:
        await blobs.put(a_file(tmp_path, CONTENT), HASH)
    assert refused.value.reason == "DISK_FULL"
    assert str(tmp_path) not in refused.value.message
    assert await blobs.has([HASH, sha256(b"small")]) == {sha256(b"small")}
    await blobs.delete(sha256(b"small"), older_than=float("inf"))
    fits = CONTENT[:CHUNK_BYTES]
    await blobs.put(a_file(tmp_path, fits), sha256(fits))
    assert kept(small_disk / "store") == {f"sha256/{sha256(fits)[:2]}/{sha256(fits)[2:]}": fits}


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EIO, StoreUnavailable),
        (errno.EROFS, StoreUnavailable),
    ],
)
async def test_a_disk_that_refuses_to_sync_keeps_nothing(tmp_path: Path, number: int, error: type[ServerError]) -> None:
    """Bytes that may not be on the disk never get a name; the next try is a new file."""
    disk = FullDisk(number)
    blobs = LocalBlobs(tmp_path / "store", disk=disk)
    with pytest.raises(error) as refused:
        await blobs.put(a_file(tmp_path, CONTENT), HASH)
    assert str(tmp_path) not in refused.value.message
    assert kept(tmp_path / "store") == {}
    disk.number = 0
    await blobs.put(a_file(tmp_path, CONTENT), HASH)
    assert await blobs.is_whole(HASH)


async def test_a_read_only_disk_is_still_read(tmp_path: Path, small_disk: Path) -> None:
    """Writes fail by name; what is loaded from it goes on being loaded."""
    blobs = LocalBlobs(small_disk / "store")
    await blobs.put(a_file(tmp_path, b"small"), sha256(b"small"))
    await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,ro", small_disk], check=True)
    assert await read(blobs, sha256(b"small")) == b"small"
    assert (await blobs.path(sha256(b"small"))).read_bytes() == b"small"
    with pytest.raises(StoreUnavailable):
        await blobs.put(a_file(tmp_path, CONTENT), HASH)


async def test_what_is_missing_says_so(tmp_path: Path) -> None:
    """By a reason of its own, and nothing is made of a store that is not there yet."""
    blobs = LocalBlobs(tmp_path / "store")
    for ask in (blobs.path(HASH), read(blobs, HASH)):
        with pytest.raises(DataLost) as lost:
            await ask
        assert lost.value.reason == "ARTIFACT_MISSING"
    assert (await blobs.has([HASH]), await listed(blobs)) == (frozenset(), [])
    assert not await blobs.delete(HASH, older_than=float("inf"))
    await blobs.sweep(frozenset(), older_than=float("inf"))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "A" * 64, f"{'a' * 62}/.", "a" * 65])
async def test_a_name_that_is_no_hash_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    """Callers say hashes; what they say is checked where it becomes a path."""
    blobs = LocalBlobs(tmp_path / "store")
    for ask in (blobs.path(name), read(blobs, name), blobs.has([name]), blobs.delete(name, older_than=0.0)):
        with pytest.raises(InvalidInput):
            await ask


async def test_a_disk_that_cannot_be_asked_is_said_to(tmp_path: Path) -> None:
    """Nothing is known to be missing then: loads are tried again, and callers hear no word of a bug."""
    blobs = LocalBlobs(tmp_path / ("x" * 300))  # longer than a file system takes
    for asked in (blobs.path(HASH), blobs.has([HASH]), blobs.verify(HASH), blobs.delete(HASH, older_than=0.0)):
        with pytest.raises(StoreUnavailable) as refused:
            await asked
        assert str(tmp_path) not in refused.value.message


async def test_what_was_asked_for_lately_is_not_deleted(tmp_path: Path) -> None:
    """Asking touches: a registration that was told "present" has time to use it."""
    blobs = LocalBlobs(tmp_path / "store")
    await blobs.put(a_file(tmp_path, CONTENT), HASH)
    path = await blobs.path(HASH)
    os.utime(path, (100, 100))
    await blobs.has([HASH])
    assert not await blobs.delete(HASH, older_than=200)
    os.utime(path, (100, 100))
    assert await blobs.delete(HASH, older_than=200)
    assert await blobs.has([HASH]) == frozenset()


async def test_putting_and_deleting_at_once_never_loses_what_was_put(tmp_path: Path) -> None:
    """Whatever the order, a content that was put again after it grew old is there."""
    blobs = LocalBlobs(tmp_path / "store")
    given = a_file(tmp_path, b"often")
    hash_ = sha256(b"often")
    for _ in range(50):
        await blobs.put(given, hash_)
        os.utime(await blobs.path(hash_), (100, 100))
        await asyncio.gather(*(blobs.delete(hash_, older_than=200) for _ in range(3)), blobs.put(given, hash_))
        assert await blobs.is_whole(hash_)


async def test_what_writers_left_behind_is_swept_when_it_is_old(tmp_path: Path) -> None:
    """A temporary file of a process that was killed; a new one may still be written."""
    blobs = LocalBlobs(tmp_path / "store")
    await blobs.put(a_file(tmp_path, CONTENT), HASH)
    old, new = (a_file(tmp_path / "store" / "tmp", b"half", name) for name in ("old", "new"))
    os.utime(old, (100, 100))
    await blobs.sweep(frozenset(), older_than=200)
    assert sorted(kept(tmp_path / "store")) == [NAME, "tmp/new"]
    assert new.exists()


async def test_a_put_that_is_cancelled_stops_soon_and_leaves_nothing(tmp_path: Path) -> None:
    """Its thread has ended by the time the caller goes on."""
    blobs = LocalBlobs(tmp_path / "store")
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 30)
    put = asyncio.create_task(blobs.put(large, HASH))
    await asyncio.sleep(0.02)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    assert kept(tmp_path / "store") == {}


async def test_a_thread_is_waited_for_however_often_its_caller_is_cancelled() -> None:
    """Nothing that follows races with it."""
    ended: list[str] = []
    cancelled_often = threading.Event()

    async def caller() -> None:
        await in_stoppable_thread(work)

    def work(_check: object) -> None:
        cancelled_often.wait(10)
        ended.append("thread")

    task = asyncio.create_task(caller())
    for _ in range(3):
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
    cancelled_often.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["thread"]
