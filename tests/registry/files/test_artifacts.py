"""The files of versions by hash: those that somebody uses stay, whatever is collected at the same time."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.errors import DataLost
from serinus.registry.files.artifacts import ArtifactStore, Collected
from serinus.registry.files.blobs import Blobs
from serinus.registry.files.local_blobs import LocalBlobs
from serinus.registry.files.remote_blobs import RemoteBlobs
from serinus.registry.files.staging import Staging, StagingArea
from tests.support.disks import a_file, files_below, sha256

LATER = time.time() + 1e6
DAY = 86_400.0


@pytest.fixture(params=["folder", "bucket"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """An empty store of each kind."""
    if request.param == "folder":
        return LocalBlobs(tmp_path / "store")
    return RemoteBlobs(MemoryStore(), LocalBlobs(tmp_path / "cache"), fresh_s=DAY / 2)


def manifest_of(*contents: bytes) -> Manifest:
    files = [ArtifactFile(f"f{i}", sha256(content), len(content)) for i, content in enumerate(contents)]
    return Manifest("f0", tuple(files))


async def fill(staging: Staging, contents: Sequence[bytes]) -> Staging:
    for file, content in zip(staging.manifest.files, contents, strict=True):
        await staging.begin(file)
        await staging.write(content)
        await staging.finish()
    return staging


async def pieces(store: ArtifactStore, content: bytes, offset: int = 0) -> AsyncIterator[bytes]:
    async for chunk in store.read(sha256(content), offset):
        yield chunk


async def test_what_is_kept_is_found_by_hash_and_by_path(tmp_path: Path, blobs: Blobs) -> None:
    """The same content under two paths is kept once."""
    store = ArtifactStore(blobs)
    contents = (b"model", b"weights", b"weights")
    manifest = manifest_of(*contents)
    async with StagingArea(tmp_path / "uploads") as area, area.stage(manifest) as staging:
        await store.keep(await fill(staging, contents))
    assert await store.has([sha256(b"model"), sha256(b"weights"), sha256(b"else")]) == {
        sha256(b"model"),
        sha256(b"weights"),
    }
    paths = await store.paths(manifest)
    assert {path: file.read_bytes() for path, file in paths.items()} == {
        "f0": b"model",
        "f1": b"weights",
        "f2": b"weights",
    }
    assert b"".join([chunk async for chunk in pieces(store, b"weights", 3)]) == b"ghts"
    with pytest.raises(DataLost):
        await store.paths(manifest_of(b"else"))


async def test_orphans_are_collected_when_they_are_old(tmp_path: Path, blobs: Blobs) -> None:
    """What is used stays, however old; what is young stays, whoever uses it."""
    store = ArtifactStore(blobs)
    for content in (b"used", b"orphan", b"another orphan"):
        await blobs.put(a_file(tmp_path, content), sha256(content))
    used = frozenset({sha256(b"used")})
    assert await store.collect(used, older_than_s=DAY, now=time.time()) == Collected(0, 0)
    assert await store.collect(used, older_than_s=DAY, now=time.time() + 2 * DAY) == Collected(2, 20)
    assert await store.has([sha256(b"used"), sha256(b"orphan"), sha256(b"another orphan")]) == used
    kept = {content for name, content in files_below(tmp_path).items() if "sha256/" in name}
    assert kept == {b"used"}


async def test_an_orphan_that_is_kept_again_is_not_collected(tmp_path: Path) -> None:
    """A registration that finds it present makes it young first, and a collection that began before sees that."""
    blobs = LocalBlobs(tmp_path / "store")
    store = ArtifactStore(blobs)
    await blobs.put(a_file(tmp_path, b"orphan"), sha256(b"orphan"))
    os.utime(await blobs.path(sha256(b"orphan")), (100, 100))
    began = time.time()
    async with StagingArea(tmp_path / "uploads") as area, area.stage(manifest_of(b"orphan")) as staging:
        await store.keep(await fill(staging, [b"orphan"]))
    assert await store.collect(frozenset(), older_than_s=60, now=began) == Collected(0, 0)
    assert await store.has([sha256(b"orphan")])


async def test_what_is_missing_after_the_commit_is_put_again(tmp_path: Path, blobs: Blobs) -> None:
    """And what is there is left alone."""
    store = ArtifactStore(blobs)
    async with StagingArea(tmp_path / "uploads") as area, area.stage(manifest_of(b"a", b"b")) as staging:
        await store.keep(await fill(staging, [b"a", b"b"]))
        await blobs.delete(sha256(b"b"), older_than=LATER)
        await store.complete(staging)
    assert await store.has([sha256(b"a"), sha256(b"b")]) == {sha256(b"a"), sha256(b"b")}


async def test_collecting_beside_registrations_never_takes_what_they_use(tmp_path: Path) -> None:
    """Many that keep and then "commit" the same old orphans, while others collect what was not committed in time."""
    blobs = LocalBlobs(tmp_path / "store")
    store = ArtifactStore(blobs)
    rng = random.Random(7)
    contents = [b"%d" % i for i in range(5)]
    committed: set[str] = set()

    async def register(area: StagingArea, content: bytes) -> None:
        async with area.stage(manifest_of(content)) as staging:
            await store.keep(await fill(staging, [content]))
            await asyncio.sleep(rng.random() * 0.003)
            committed.add(sha256(content))
            await store.complete(staging)

    async def collect() -> None:
        for _ in range(10):
            now, used = time.time(), frozenset(committed)
            await asyncio.sleep(rng.random() * 0.003)
            await store.collect(used, older_than_s=5.0, now=now)

    async with StagingArea(tmp_path / "uploads", at_once=10) as area:
        for _ in range(10):
            committed.clear()
            for content in contents:
                await blobs.put(a_file(tmp_path, content), sha256(content))
                os.utime(await blobs.path(sha256(content)), (100, 100))
            chosen = rng.sample(contents, 3)
            await asyncio.gather(collect(), collect(), *(register(area, content) for content in chosen))
            assert await store.has(committed) == committed


async def test_the_first_who_claims_a_store_owns_it(blobs: Blobs) -> None:
    """Every registry is told whose it is, however often it asks."""
    store = ArtifactStore(blobs)
    assert [await store.claim(owner) for owner in ("one", "other", "one")] == ["one"] * 3
    assert [blob async for blob in blobs.list()] == []
