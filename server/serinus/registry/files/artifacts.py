"""The files of versions, kept by hash; which of them nobody needs any more.

Why no file of a version can be collected, although a registration may find it "present" and send nothing:

1. A registration holds all files in its private folder until it is done. `keep` puts each of them right before the
   transaction: what is missing is written, what is there counts as put at that time, T (in a bucket, that nobody can
   touch, at most half a grace period before it). From then on it can be deleted only by a `collect` for which it is
   old, which is one that read what is used after T + grace.
2. The transaction commits within half a grace period after T: nothing but the writing of other files and one
   transaction lies in between. So whoever reads what is used after T + grace reads this version too and leaves its
   files.
3. In a folder, looking at a file's age and deleting it are one step (a lock), so that 1 holds to the microsecond. In a
   bucket they are two requests. Therefore `complete` looks again after the commit, and writes what went in between.

The grace period must be longer than clocks of machines are apart.
"""

import dataclasses
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path

from serinus.core.artifact import Manifest
from serinus.registry.files.blobs import Blobs
from serinus.registry.files.staging import Staging
from serinus.telemetry.logs import get_logger

_log = get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Collected:
    """What was removed because nobody used it.

    Attributes:
        count: Files.
        size_bytes: Of all of them.
    """

    count: int
    size_bytes: int


class ArtifactStore:
    """The files of versions, in `blobs`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def has(self, sha256s: Collection[str]) -> frozenset[str]:
        """Those contents of `sha256s` that need not be sent. One that is gone when it is registered is asked for again.

        Raises:
            StoreUnavailable: it is not known now.
        """
        return await self._blobs.has(sha256s)

    async def keep(self, staging: Staging) -> None:
        """Put all files; returns when they survive a power loss. For right before the version is committed.

        Raises:
            StoreFull: there is no room.
            StoreUnavailable: the store cannot be reached.
        """
        for sha256, file in staging.content.items():
            await self._blobs.put(file, sha256)

    async def complete(self, staging: Staging) -> None:
        """Put those files that are missing. For right after the version was committed."""
        present = await self._blobs.has(staging.content)
        for sha256, file in staging.content.items():
            if sha256 not in present:
                _log.warning("a committed file was gone and is put again", sha256=sha256)
                await self._blobs.put(file, sha256)

    async def verify(self, sha256s: Collection[str]) -> bool:
        """Whether all of them are there and undamaged. What is damaged is removed, so that it is asked for again."""
        found = [await self._blobs.verify(sha256) for sha256 in sha256s]
        return all(found)

    async def paths(self, manifest: Manifest) -> Mapping[str, Path]:
        """A local file by path in the bundle; whoever loads them checks the hashes of the bytes it reads.

        Raises:
            DataLost: one is not there or is damaged.
            StoreUnavailable: one has to be fetched and cannot be.
        """
        return {file.path: await self._blobs.path(file.sha256) for file in manifest.files}

    def read(self, sha256: str, offset: int = 0) -> AsyncIterator[bytes]:
        """A content from byte `offset` on, in pieces.

        Raises:
            DataLost: it is not there.
        """
        return self._blobs.read(sha256, offset)

    async def claim(self, owner: str) -> str:
        """Which registry the files belong to: `owner`, if none claimed them before."""
        return await self._blobs.claim(owner)

    async def collect(self, used: frozenset[str], *, older_than_s: float, now: float) -> Collected:
        """Remove what is not in `used` and was not put or asked for within `older_than_s`, the grace period.

        Args:
            used: Contents of all versions that are registered, and of those that are still served.
            older_than_s: The grace period.
            now: Seconds since 1970 before `used` was read, not after.
        """
        older_than = now - older_than_s
        count = size_bytes = 0
        async for blob in self._blobs.list():
            is_orphan = blob.sha256 not in used and blob.modified_s < older_than
            if is_orphan and await self._blobs.delete(blob.sha256, older_than=older_than):
                count += 1
                size_bytes += blob.size_bytes
        await self._blobs.sweep(used, older_than=older_than)
        return Collected(count, size_bytes)
