"""Content in a bucket that many machines share, with a copy on this machine of what was needed here.

The store's word for what it holds is not taken: an ETag of several parts is no hash of the content, so everything that
comes down is hashed, and so is a local copy before it is handed out again.
"""

import asyncio
import contextlib
import datetime as dt
import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from serinus.config.errors import ConfigError
from serinus.core.artifact import check_sha256
from serinus.core.errors import DataLost, InvalidInput, StoreUnavailable
from serinus.registry.files.blobs import StoredBlob
from serinus.registry.files.local_blobs import ARTIFACT_MISSING, LocalBlobs, missing
from serinus.telemetry.logs import get_logger

if TYPE_CHECKING:  # these names exist in its stubs alone
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

PART_BYTES = 8 << 20  # few enough requests, and short enough to end within a request's time limit
_OWNER = "owner"
_PARTS_AT_ONCE = 4
_HEADS_AT_ONCE = 16
_PAGE = 1000
_RETRIES = 3
_RETRY_S = 30.0
_SLOWEST_BYTES_PER_S = 256 << 10  # what a connection that still moves manages

T = TypeVar("T")

_log = get_logger(__name__)


class RemoteBlobs:
    """Content by its SHA-256 in an object store; `cache` holds the local copies.

    A bucket has no way to touch an object: `put` writes one again that is older than `fresh_s` seconds.
    """

    def __init__(
        self,
        store: "ObjectStore",
        cache: LocalBlobs,
        *,
        fresh_s: float,
        operation_s: float = 60.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._cache = cache
        self._fresh_s = fresh_s
        self._operation_s = operation_s
        self._now = now
        # One download of a content at a time; those who wait for it find it in the cache.
        self._downloads: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def put(self, file: Path, sha256: str) -> None:
        """Keep the content of `file`, here and in the store; see Blobs.

        Through the cache, whose file nobody writes any more: the store gets the bytes that were hashed. This machine
        needs them next, to load the version.
        """
        await self._cache.put(file, sha256)
        copy = await self._cache.path(sha256)
        size_bytes = copy.stat().st_size
        found = await self._head(sha256)
        if found is not None and found["size"] == size_bytes and self._is_fresh(found):
            return
        # A bucket that is not there says "not found" too; the bound grows with what a slow connection needs.
        async with _asking(self._operation_s + size_bytes / _SLOWEST_BYTES_PER_S):
            await obstore.put_async(
                self._store, _key(sha256), copy, chunk_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            )

    async def has(self, sha256s: Collection[str]) -> frozenset[str]:
        """Those of `sha256s` that are in the store."""
        slots = asyncio.Semaphore(_HEADS_AT_ONCE)

        async def found(sha256: str) -> bool:
            async with slots:
                return await self._head(sha256) is not None

        wanted = tuple(sha256s)
        are_there = await _together(map(found, wanted))
        return frozenset(sha256 for sha256, is_there in zip(wanted, are_there, strict=True) if is_there)

    async def path(self, sha256: str) -> Path:
        """A local copy with that hash; it is downloaded if there is none, or a damaged one."""
        download = self._downloads.setdefault(check_sha256(sha256), asyncio.Lock())
        async with download:
            if not await self._cache.is_whole(sha256):
                await self._cache.receive(self._parts(sha256), sha256)
        return await self._cache.path(sha256)

    async def verify(self, sha256: str) -> bool:
        """Whether the content is in the store and has that hash, or a local copy has; one with another is removed."""
        try:
            await self.path(sha256)
        except DataLost as error:
            if error.reason != ARTIFACT_MISSING and await self.delete(sha256, older_than=math.inf):
                _log.error("a damaged content was removed: registering it again brings it back", sha256=sha256)
            return False
        return bool(await self.has([sha256]))

    async def read(self, sha256: str, offset: int = 0) -> AsyncIterator[bytes]:
        """The content from byte `offset` on, of a local copy."""
        await self.path(sha256)
        async for chunk in self._cache.read(sha256, offset):
            yield chunk

    async def delete(self, sha256: str, *, older_than: float) -> bool:
        """Remove the content from the store if it was last put before `older_than`; whether it was."""
        found = await self._head(sha256)
        if found is None or _modified_s(found) >= older_than:
            return False
        async with _asking(self._operation_s):
            await obstore.delete_async(self._store, _key(sha256))
        return True

    async def claim(self, owner: str) -> str:
        """Whose the store is; see Blobs."""
        async with _asking(self._operation_s):
            try:
                await obstore.put_async(self._store, _OWNER, owner.encode(), mode="create")
            except AlreadyExistsError:
                found = await obstore.get_async(self._store, _OWNER)
                return bytes(await found.bytes_async()).decode(errors="replace")
        return owner

    async def list(self) -> AsyncIterator[StoredBlob]:
        """All that is in the store."""
        pages = aiter(obstore.list(self._store, "sha256", chunk_size=_PAGE))
        while True:
            async with _asking(self._operation_s):
                page = await anext(pages, None)
            if page is None:
                return
            for meta in page:
                with contextlib.suppress(InvalidInput):  # not ours
                    sha256 = check_sha256(meta["path"].removeprefix("sha256/").replace("/", ""))
                    yield StoredBlob(sha256, _modified_s(meta), meta["size"])

    async def sweep(self, used: frozenset[str], /, *, older_than: float) -> None:
        """Remove old local copies of what is not used, and what is left of downloads.

        Uploads that were cut off are removed by the store, if its owner set a lifecycle rule for them.
        """
        async for blob in self._cache.list():
            if blob.sha256 not in used:
                await self._cache.delete(blob.sha256, older_than=older_than)
        await self._cache.sweep(used, older_than=older_than)

    def _is_fresh(self, meta: "ObjectMeta") -> bool:
        return _modified_s(meta) >= self._now() - self._fresh_s

    async def _head(self, sha256: str) -> "ObjectMeta | None":
        async with _asking(self._operation_s):
            try:
                return await obstore.head_async(self._store, _key(sha256))
            except FileNotFoundError:
                return None

    async def _parts(self, sha256: str) -> AsyncIterator[bytes]:
        """The content, in parts of which some are asked for at once."""
        found = await self._head(sha256)
        if found is None:
            raise missing(sha256)
        size_bytes = found["size"]
        window = _PARTS_AT_ONCE * PART_BYTES
        for first in range(0, size_bytes, window):
            offsets = range(first, min(first + window, size_bytes), PART_BYTES)
            parts = (self._part(sha256, offset, min(PART_BYTES, size_bytes - offset)) for offset in offsets)
            for part in await _together(parts):
                yield part

    async def _part(self, sha256: str, offset: int, size_bytes: int) -> bytes:
        async with _asking(self._operation_s):
            try:
                part = await obstore.get_range_async(self._store, _key(sha256), start=offset, length=size_bytes)
            except FileNotFoundError as error:
                raise missing(sha256) from error
        return part.to_bytes()


@contextlib.asynccontextmanager
async def _asking(limit_s: float) -> AsyncIterator[None]:
    """Bound what is asked of the store, and say in words that it does not answer.

    Not in its own words: they name the bucket and the address.
    """
    try:
        async with asyncio.timeout(limit_s):
            yield
    except (BaseError, OSError) as error:  # a TimeoutError is an OSError
        _log.warning("the artifact store failed", error=type(error).__name__)
        raise StoreUnavailable("the artifact store cannot be reached now") from error


async def _together(works: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """The results of all `works`, which run at once; the first error ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]


def _key(sha256: str) -> str:
    check_sha256(sha256)  # what a caller says becomes part of a name here
    return f"sha256/{sha256[:2]}/{sha256[2:]}"


def _modified_s(meta: "ObjectMeta") -> float:
    return meta["last_modified"].timestamp()


def open_remote(place: str, cache: LocalBlobs, *, orphan_age_s: float) -> RemoteBlobs:
    """What keeps content in the object store at a URL; arguments and errors are those of `opening.open_blobs`."""
    try:
        store = from_url(place, retry_config={"max_retries": _RETRIES, "retry_timeout": dt.timedelta(seconds=_RETRY_S)})
    except (BaseError, ValueError) as error:
        scheme = place.partition("://")[0]
        raise ConfigError([f"registry.artifacts: there can be no store at this {scheme[:16]!r} URL"]) from error
    return RemoteBlobs(store, cache, fresh_s=orphan_age_s / 2)
