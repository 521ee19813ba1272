"""Files of one upload: alone in their folder, no byte more than declared, gone afterwards."""

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.errors import DataLost, InvalidInput, Overloaded, StoreFull, StoreUnavailable
from serinus.registry.files.disk import CHUNK_BYTES
from serinus.registry.files.staging import Staging, StagingArea
from tests.support.disks import files_below, sha256

MODEL = os.urandom(CHUNK_BYTES + 10)
WEIGHTS = b"weights"
FILES = (
    ArtifactFile("deep/er/weights.bin", sha256(WEIGHTS), len(WEIGHTS)),
    ArtifactFile("model.onnx", sha256(MODEL), len(MODEL)),
)
MANIFEST = Manifest("model.onnx", FILES)
BYTES = {"deep/er/weights.bin": WEIGHTS, "model.onnx": MODEL}


async def fill(staging: Staging, *, piece: int = 1000) -> None:
    for file in FILES:
        await staging.begin(file)
        content = BYTES[file.path]
        for start in range(0, len(content), piece):
            await staging.write(content[start : start + piece])
        await staging.finish()


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize("piece", [1 << 16, 1 << 22])
async def test_a_staging_holds_its_own_files_alone_and_is_gone_afterwards(tmp_path: Path, piece: int) -> None:
    """For nobody else to read or to guess."""
    async with StagingArea(tmp_path / "uploads") as area:
        async with area.stage(MANIFEST) as staging:
            await fill(staging, piece=piece)
            assert files_below(staging.folder) == BYTES
            assert staging.content == {file.sha256: staging.folder / file.path for file in FILES}
            assert stat.S_IMODE(staging.folder.stat().st_mode) == 0o700
            assert stat.S_IMODE(staging.folder.parent.stat().st_mode) == 0o700
            assert len(staging.folder.name) == 32
            assert all(path.stat().st_nlink == 1 for path in staging.content.values())
        assert not staging.folder.exists()
    assert list((tmp_path / "uploads").iterdir()) == []


async def test_more_bytes_than_declared_are_refused_at_once(tmp_path: Path) -> None:
    """And not written."""
    async with StagingArea(tmp_path) as area, area.stage(MANIFEST) as staging:
        await staging.begin(FILES[0])
        await staging.write(WEIGHTS[:3])
        with pytest.raises(InvalidInput) as refused:
            await staging.write(b"x" * (len(WEIGHTS) - 2))
        assert refused.value.reason == "WRONG_SIZE"
        assert files_below(staging.folder) == {"deep/er/weights.bin": b""}


@pytest.mark.parametrize(("content", "reason"), [(WEIGHTS[:-1], "WRONG_SIZE"), (b"WEIGHTS", "HASH_MISMATCH")])
async def test_other_bytes_than_declared_are_refused_at_the_end(tmp_path: Path, content: bytes, reason: str) -> None:
    """Fewer, or of another hash."""
    async with StagingArea(tmp_path) as area, area.stage(MANIFEST) as staging:
        await staging.begin(FILES[0])
        await staging.write(content)
        with pytest.raises(InvalidInput) as refused:
            await staging.finish()
        assert refused.value.reason == reason


async def test_a_file_of_the_store_is_copied_and_checked(tmp_path: Path) -> None:
    """Its bytes may be damaged, which is not the caller's fault."""
    async with StagingArea(tmp_path) as area:
        async with area.stage(MANIFEST) as staging:
            await staging.copy(FILES[0], pieces(WEIGHTS[:2], WEIGHTS[2:]))
            assert files_below(staging.folder) == {"deep/er/weights.bin": WEIGHTS}
        for damaged in (b"", b"WEIGHTS", WEIGHTS + b"!"):
            async with area.stage(MANIFEST) as staging:
                with pytest.raises(DataLost):
                    await staging.copy(FILES[0], pieces(damaged))


async def test_one_upload_too_many_is_refused(tmp_path: Path) -> None:
    """Until another one has ended."""
    async with StagingArea(tmp_path, at_once=1) as area:
        async with area.stage(MANIFEST):
            with pytest.raises(Overloaded) as refused:
                async with area.stage(MANIFEST):
                    pass
            assert refused.value.reason == "TOO_MANY_UPLOADS"
        async with area.stage(MANIFEST):
            pass


async def test_an_upload_that_cannot_fit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    """By what it declares."""
    huge = Manifest("model.onnx", (ArtifactFile("model.onnx", sha256(MODEL), 1 << 60),))
    async with StagingArea(tmp_path) as area:
        with pytest.raises(StoreFull) as refused:
            async with area.stage(huge):
                raise AssertionError("it was taken")
        assert str(tmp_path) not in refused.value.message
        async with area.stage(MANIFEST):
            pass


async def test_a_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    """Wherever it is cancelled, and however often."""
    async with StagingArea(tmp_path / "uploads") as area:

        async def upload() -> None:
            async with area.stage(MANIFEST) as staging:
                await fill(staging, piece=1 << 16)

        for turns in range(40):
            task = asyncio.create_task(upload())
            for _ in range(turns):
                await asyncio.sleep(0.0002)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            assert files_below(tmp_path / "uploads").keys() <= {f"{area_lock(tmp_path)}"}
        async with area.stage(MANIFEST) as staging:
            await fill(staging)


def area_lock(tmp_path: Path) -> str:
    (lock,) = (tmp_path / "uploads").glob("*.lock")
    return lock.name


LEFT_BEHIND = """
import asyncio, os, signal, sys
from pathlib import Path
from serinus.core.artifact import Manifest
from serinus.registry.files.staging import StagingArea

async def main():
    async with StagingArea(Path(sys.argv[1])) as area, area.stage(Manifest("m", ())) as staging:
        (staging.folder / "half").write_text("a file")
        print("staged", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


def stager(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", LEFT_BEHIND, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def halves(folder: Path) -> int:
    return len(list(folder.glob("*/*/half")))


async def test_folders_of_dead_processes_are_removed_and_those_of_living_ones_are_not(tmp_path: Path) -> None:
    """Two processes stage; one is killed; the third that starts tells them apart."""
    processes = [stager(tmp_path) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == b"staged\n"
        assert halves(tmp_path) == 2
        processes[0].send_signal(signal.SIGKILL)
        await asyncio.to_thread(processes[0].wait)
        async with StagingArea(tmp_path):
            assert halves(tmp_path) == 1
    finally:
        for process in processes:
            process.kill()
            process.communicate()


async def test_a_disk_that_takes_nothing_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    """Uploads are refused until it does; nobody has to start the server again."""
    (tmp_path / "state").write_bytes(b"a file where the folder should be")
    async with StagingArea(tmp_path / "state" / "staging") as area:
        with pytest.raises(StoreUnavailable):
            async with area.stage(MANIFEST):
                pass
        (tmp_path / "state").unlink()
        async with area.stage(MANIFEST) as staging, area.stage(MANIFEST) as other:
            await fill(staging)
            await fill(other)
    assert files_below(tmp_path) == {}


async def test_uploads_that_come_together_begin_once_the_disk_takes_files_again(tmp_path: Path) -> None:
    """One of them makes the folder, the others find it."""
    (tmp_path / "state").write_bytes(b"a file where the folder should be")

    async def upload(area: StagingArea) -> None:
        async with area.stage(MANIFEST) as staging:
            await fill(staging)

    async with StagingArea(tmp_path / "state" / "staging") as area:
        (tmp_path / "state").unlink()
        await asyncio.gather(*(upload(area) for _ in range(4)))
    assert files_below(tmp_path) == {}


async def test_processes_that_start_together_do_not_take_each_other_for_dead(tmp_path: Path) -> None:
    """One looks for locks that nobody holds while another has just made its own."""
    for _ in range(20):
        async with contextlib.AsyncExitStack() as stack:
            areas = [StagingArea(tmp_path) for _ in range(4)]
            await asyncio.gather(*(stack.enter_async_context(area) for area in areas))
            folders = [await stack.enter_async_context(area.scratch()) for area in areas]
            assert all(folder.is_dir() for folder in folders)
    assert files_below(tmp_path) == {}


async def test_a_folder_for_other_work_is_gone_with_it(tmp_path: Path) -> None:
    """It counts as no upload."""
    async with StagingArea(tmp_path, at_once=1) as area:
        async with area.stage(MANIFEST), area.scratch() as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_bytes(b"work")
        assert not folder.exists()
        with pytest.raises(StoreFull):
            async with area.scratch(size_bytes=1 << 60):
                pass
