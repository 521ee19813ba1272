"""Turns what a caller sends into staged files: never longer, later or other than it declared."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from serinus.core.artifact import ArtifactFile
from serinus.core.errors import DataLost, DeadlinePassed, InvalidInput
from serinus.registry.files.artifacts import ArtifactStore
from serinus.registry.files.disk import CHUNK_BYTES, disk_errors, in_thread
from serinus.registry.files.incoming import sha256_of
from serinus.registry.files.staging import Staging


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """How slow an upload may be.

    Attributes:
        stall_s: Longest time without a byte.
        upload_s: Longest time of the whole upload.
    """

    stall_s: float = 60.0  # as long as a connection may be silent before it is pinged
    upload_s: float = 14_400.0  # the largest bundle at 600 kB/s; a slot is not kept for ever


class PacedChunks:
    """The bytes of `chunks`, in pieces of any size, as long as they keep coming."""

    def __init__(self, chunks: AsyncIterator[bytes], pace: Pace) -> None:
        self._chunks = chunks
        self._pace = pace
        self._rest = b""
        self._end = asyncio.get_running_loop().time() + pace.upload_s

    async def take(self, most_bytes: int) -> bytes:
        """The next bytes, at most so many; b"" at the end.

        Raises:
            DeadlinePassed: they do not come (UPLOAD_STALLED), or have come for too long (UPLOAD_TOO_SLOW).
        """
        if not self._rest:
            self._rest = await self._next()
        taken, self._rest = self._rest[:most_bytes], self._rest[most_bytes:]
        return taken

    async def _next(self) -> bytes:
        now = asyncio.get_running_loop().time()
        stalled_at = now + self._pace.stall_s
        try:
            async with asyncio.timeout_at(min(stalled_at, self._end)) as limit:
                # Empty ones say nothing: they do not count as bytes that came.
                while (chunk := await anext(self._chunks, None)) == b"":
                    pass
        except TimeoutError as error:
            if not limit.expired():
                raise
            if stalled_at <= self._end:
                raise DeadlinePassed(
                    f"nothing was sent for {self._pace.stall_s:g} s; nothing of the upload was kept",
                    reason="UPLOAD_STALLED",
                ) from error
            raise DeadlinePassed(
                f"the upload took longer than {self._pace.upload_s:g} s; nothing of it was kept",
                reason="UPLOAD_TOO_SLOW",
            ) from error
        return chunk or b""


async def receive(
    files: Sequence[ArtifactFile], staging: Staging, artifacts: ArtifactStore, chunks: PacedChunks
) -> None:
    """Fill `staging` with `files`: what the store has from there, the others from `chunks`, end to end.

    Raises:
        InvalidInput: `chunks` hold more bytes, fewer or others than those files (WRONG_SIZE, HASH_MISMATCH).
        DeadlinePassed: they come too slowly.
        DataLost: what the store has is damaged.
        StoreFull: there is no room.
    """
    present = await artifacts.has({file.sha256 for file in files})
    for file in files:
        if file.sha256 in present:
            await _copy(file, staging, artifacts)
            continue
        await staging.begin(file)
        missing_bytes = file.size_bytes
        while missing_bytes and (chunk := await chunks.take(missing_bytes)):
            await staging.write(chunk)
            missing_bytes -= len(chunk)
        await staging.finish()
    if await chunks.take(1):
        raise InvalidInput(
            "more bytes were sent than the files have that the server lacks: ask again which ones it has",
            reason="WRONG_SIZE",
            field="chunk",
        )


async def _copy(file: ArtifactFile, staging: Staging, artifacts: ArtifactStore) -> None:
    try:
        await staging.copy(file, artifacts.read(file.sha256))
    except DataLost:
        await artifacts.verify([file.sha256])  # removes it, so that the next try sends it
        raise


async def take_folder(files: Sequence[ArtifactFile], staging: Staging, folder: Path) -> None:
    """Fill `staging` with copies of `files`, which lie in `folder`.

    Raises:
        InvalidInput: they are not what they were.
        StoreFull: there is no room.
    """
    for file in files:
        await staging.begin(file)
        offset = 0
        while chunk := await in_thread(_read, folder / file.path, offset):
            await staging.write(chunk)
            offset += len(chunk)
        await staging.finish()


async def files_of(folder: Path) -> tuple[ArtifactFile, ...]:
    """All files in `folder`, by path; links are no files.

    Raises:
        StoreUnavailable: they cannot be read.
    """
    return await in_thread(_files_of, folder)


def _files_of(folder: Path) -> tuple[ArtifactFile, ...]:
    with disk_errors():
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        return tuple(
            ArtifactFile(path.relative_to(folder).as_posix(), sha256_of(path, _go_on), path.stat().st_size)
            for path in paths
        )


def _go_on() -> None:
    """Nobody stops this."""


def _read(path: Path, offset: int) -> bytes:
    with disk_errors(), path.open("rb", buffering=0) as file:
        file.seek(offset)
        return file.read(CHUNK_BYTES)
