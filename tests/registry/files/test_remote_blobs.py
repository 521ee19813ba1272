"""Content in a bucket: through moto's S3 server, through a store in memory, and through one that never answers."""

import asyncio
import datetime as dt
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import MemoryStore, S3Store

from serinus.config.errors import ConfigError
from serinus.core.errors import DataLost, StoreFull, StoreUnavailable
from serinus.registry.failpoints import Failpoint
from serinus.registry.files.local_blobs import LocalBlobs
from serinus.registry.files.opening import open_blobs
from serinus.registry.files.remote_blobs import PART_BYTES, RemoteBlobs
from tests.support.disks import FullDisk, a_file, files_below, sha256

CONTENT = os.urandom(1000)
HASH = sha256(CONTENT)
KEY = f"sha256/{HASH[:2]}/{HASH[2:]}"
LARGE = os.urandom(5 * PART_BYTES + 7)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of an S3 server with a bucket `models`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    assert httpx.put(f"http://{host}:{port}/models").is_success
    yield f"http://{host}:{port}"
    server.stop()


def s3_store(address: str, bucket: str = "models", prefix: str = "a/prefix", *, retries: int = 1) -> S3Store:
    return S3Store(
        bucket,
        prefix=prefix,
        endpoint=address,
        access_key_id="an-id",
        secret_access_key="a-secret",
        region="us-east-1",
        client_options={"allow_http": True, "timeout": "20s"},
        retry_config={"max_retries": retries, "retry_timeout": dt.timedelta(seconds=2)},
    )


def remote(
    store: S3Store | MemoryStore, cache: Path, *, fresh_s: float = 1e9, operation_s: float = 20.0
) -> RemoteBlobs:
    return RemoteBlobs(store, LocalBlobs(cache), fresh_s=fresh_s, operation_s=operation_s)


async def read(blobs: RemoteBlobs, hash_: str, offset: int = 0) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(hash_, offset)])


@pytest.mark.parametrize("content", [b"", CONTENT, LARGE], ids=["empty", "small", "multipart"])
async def test_what_one_machine_puts_another_reads(tmp_path: Path, s3: str, content: bytes) -> None:
    """Whole, from an offset, as a file, in the list; in one request or in several."""
    hash_ = sha256(content)
    await remote(s3_store(s3, prefix=hash_), tmp_path / "here").put(a_file(tmp_path, content), hash_)
    there = remote(s3_store(s3, prefix=hash_), tmp_path / "there")
    assert await there.has([hash_, "0" * 64]) == {hash_}
    assert (await there.path(hash_)).read_bytes() == content
    assert await read(there, hash_) == content
    assert await read(there, hash_, 999) == content[999:]
    (listed,) = [blob async for blob in there.list()]
    assert (listed.sha256, listed.size_bytes) == (hash_, len(content))
    assert abs(listed.modified_s - time.time()) < 3600


async def test_a_local_copy_is_used_and_a_damaged_one_replaced(tmp_path: Path) -> None:
    """The store is asked once; a copy is hashed before it is handed out."""
    store = MemoryStore()
    blobs = remote(store, tmp_path / "cache")
    await blobs.put(a_file(tmp_path, CONTENT), HASH)
    path = await blobs.path(HASH)
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    assert (await blobs.path(HASH)).read_bytes() == CONTENT
    obstore.delete(store, KEY)
    assert (await blobs.path(HASH)).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"other bytes", CONTENT[:-1], CONTENT + b"!"])
async def test_other_bytes_than_were_put_are_not_handed_out(tmp_path: Path, content: bytes) -> None:
    """Whatever the store says of them; the copy goes."""
    store = MemoryStore()
    obstore.put(store, KEY, content)
    with pytest.raises(DataLost) as lost:
        await remote(store, tmp_path / "cache").path(HASH)
    assert lost.value.reason == "HASH_MISMATCH"
    assert [name for name in files_below(tmp_path / "cache") if name != "lock"] == []


async def test_damaged_content_is_removed_when_it_is_verified(tmp_path: Path) -> None:
    """So that it counts as missing, and whoever has it sends it; a damaged copy alone is mended."""
    store = MemoryStore()
    blobs = remote(store, tmp_path / "cache")
    await blobs.put(a_file(tmp_path, CONTENT), HASH)
    copy = await blobs.path(HASH)
    copy.chmod(0o600)
    copy.write_bytes(b"damaged")
    assert await blobs.verify(HASH)
    copy.unlink()
    obstore.put(store, KEY, b"damaged too")
    assert not await blobs.verify(HASH)
    assert await blobs.has([HASH]) == frozenset()
    assert not await blobs.verify(HASH)


async def test_what_is_missing_says_so(tmp_path: Path, s3: str) -> None:
    """It is no fault of the connection."""
    blobs = remote(s3_store(s3), tmp_path / "cache")
    with pytest.raises(DataLost) as lost:
        await blobs.path("0" * 64)
    assert lost.value.reason == "ARTIFACT_MISSING"
    assert await blobs.has(["0" * 64]) == frozenset()
    assert not await blobs.delete("0" * 64, older_than=float("inf"))


async def test_a_fresh_content_is_not_sent_again_and_an_old_one_is(tmp_path: Path) -> None:
    """A bucket cannot touch: writing again is what makes it young, so that nobody collects it."""
    store = MemoryStore()
    given = a_file(tmp_path, CONTENT)
    await remote(store, tmp_path / "cache").put(given, HASH)
    first = obstore.head(store, KEY)["last_modified"]
    await remote(store, tmp_path / "cache").put(given, HASH)
    assert obstore.head(store, KEY)["last_modified"] == first
    await remote(store, tmp_path / "cache", fresh_s=-1.0).put(given, HASH)
    assert obstore.head(store, KEY)["last_modified"] > first


async def test_a_content_of_another_size_is_sent_again(tmp_path: Path) -> None:
    """What stands under the name is not what belongs there."""
    store = MemoryStore()
    obstore.put(store, KEY, b"cut off")
    await remote(store, tmp_path / "cache").put(a_file(tmp_path, CONTENT), HASH)
    assert bytes(obstore.get(store, KEY).bytes()) == CONTENT


async def test_what_is_old_is_deleted_and_what_is_young_is_not(tmp_path: Path, s3: str) -> None:
    """By the age that the store says; local copies go when they are swept."""
    blobs = remote(s3_store(s3, prefix="ages"), tmp_path / "cache")
    await blobs.put(a_file(tmp_path, CONTENT), HASH)
    assert not await blobs.delete(HASH, older_than=time.time() - 3600)
    assert await blobs.delete(HASH, older_than=time.time() + 3600)
    assert await blobs.has([HASH]) == frozenset()
    await blobs.sweep(frozenset({HASH}), older_than=time.time() + 3600)
    assert KEY in files_below(tmp_path / "cache")
    await blobs.sweep(frozenset(), older_than=time.time() + 3600)
    assert KEY not in files_below(tmp_path / "cache")


async def test_many_who_want_one_content_download_it_once(tmp_path: Path) -> None:
    """One of them downloads; if it goes away, the next one does."""
    store = MemoryStore()
    obstore.put(store, KEY, CONTENT)
    kept: list[Failpoint] = []
    blobs = RemoteBlobs(store, LocalBlobs(tmp_path / "cache", reach=kept.append), fresh_s=1e9)
    first, *others = [asyncio.create_task(blobs.path(HASH)) for _ in range(10)]
    await asyncio.sleep(0)
    first.cancel()
    paths = await asyncio.gather(*others)
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert kept.count(Failpoint.BLOB_RENAMED) <= 1


async def test_a_full_disk_refuses_the_copy(tmp_path: Path) -> None:
    """The store is reached, this machine is full: in those words."""
    store = MemoryStore()
    obstore.put(store, KEY, CONTENT)
    blobs = RemoteBlobs(store, LocalBlobs(tmp_path / "cache", disk=FullDisk()), fresh_s=1e9)
    with pytest.raises(StoreFull):
        await blobs.path(HASH)


@pytest.fixture
async def silent_server() -> AsyncIterator[str]:
    """Address of a server that takes connections and never answers."""
    done = asyncio.Event()

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"http://{host}:{port}"
    done.set()
    server.close()
    await server.wait_closed()


def all_uses(blobs: RemoteBlobs, given: Path) -> list[object]:
    async def list_all() -> None:
        async for _ in blobs.list():
            pass

    return [
        blobs.has([HASH, "0" * 64]),
        blobs.path("1" * 64),
        blobs.put(given, HASH),
        blobs.delete(HASH, older_than=0.0),
        list_all(),
    ]


async def test_a_store_that_never_answers_is_given_up(tmp_path: Path, silent_server: str) -> None:
    """Every use of it ends within its bound, in words that name neither address nor key."""
    blobs = remote(s3_store(silent_server), tmp_path / "cache", operation_s=0.2)
    for use in all_uses(blobs, a_file(tmp_path, CONTENT)):
        with pytest.raises(StoreUnavailable) as gone:
            await use  # type: ignore[misc]  # a list of coroutines of several results
        assert gone.value.message == "the artifact store cannot be reached now"


@pytest.mark.parametrize("case", ["no server", "no bucket"])
async def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path, s3: str, case: str) -> None:
    """No use of it says that contents are lost, or who was asked."""
    store = s3_store("http://127.0.0.1:9", retries=0) if case == "no server" else s3_store(s3, "nowhere")
    blobs = remote(store, tmp_path / "cache")
    with pytest.raises(StoreUnavailable) as gone:
        await blobs.put(a_file(tmp_path, CONTENT), HASH)
    assert gone.value.message == "the artifact store cannot be reached now"


async def test_an_upload_that_is_cancelled_leaves_no_content(tmp_path: Path, silent_server: str) -> None:
    """And ends at once."""
    blobs = remote(s3_store(silent_server), tmp_path / "cache", operation_s=60)
    put = asyncio.create_task(blobs.put(a_file(tmp_path, LARGE), sha256(LARGE)))
    await asyncio.sleep(0.3)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put


async def test_places_are_told_apart(tmp_path: Path) -> None:
    """A folder, a URL, and what is neither."""
    assert isinstance(open_blobs(str(tmp_path), cache=tmp_path, orphan_age_s=60), LocalBlobs)
    assert isinstance(open_blobs("memory:///", cache=tmp_path, orphan_age_s=60), RemoteBlobs)
    assert isinstance(open_blobs("gs://bucket/models", cache=tmp_path, orphan_age_s=60), RemoteBlobs)
    with pytest.raises(ConfigError) as refused:
        open_blobs("ftp://user:password@host/", cache=tmp_path, orphan_age_s=60)
    assert "password" not in str(refused.value)
