"""Where the files of one upload lie until they are registered or refused: alone, in a folder that nobody else knows."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Self

from serinus.core.artifact import ArtifactFile, Manifest
from serinus.core.errors import DataLost, InvalidInput, Overloaded, StoreFull, StoreUnavailable
from serinus.registry.files.disk import CHUNK_BYTES, PRIVATE_FOLDER, disk_errors, in_thread
from serinus.telemetry.logs import get_logger

Scratch = Callable[[], contextlib.AbstractAsyncContextManager[Path]]
"""An empty folder, which is gone afterwards; raises StoreUnavailable or StoreFull if there can be none."""

_RETRY_S = 5.0  # uploads take seconds to minutes
_LOOKS, _LOOK_S = 100, 0.01  # whoever looks for what was left behind holds a lock for a moment
_log = get_logger(__name__)


class Staging:
    """The files of one upload. Its folder holds them alone: no links, nothing of anybody else.

    One task uses it: `begin`, `write` as often as needed, `finish`, and again for the next file.

    Attributes:
        folder: Holds the files at their paths in the bundle.
        manifest: What they are.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._file: ArtifactFile | None = None
        self._hash = hashlib.sha256()
        self._written_bytes = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    @property
    def content(self) -> Mapping[str, Path]:
        """File by the hash of its content."""
        return {file.sha256: self.folder / file.path for file in self.manifest.files}

    async def begin(self, file: ArtifactFile) -> None:
        """Start the next file, one of the manifest's."""
        assert self._file is None, "the file before was not finished: this is a bug"
        assert self.manifest.file[file.path] == file, "a file that was not declared: this is a bug"
        self._file = file
        self._hash = hashlib.sha256()
        self._written_bytes = 0
        await in_thread(self._create, self.folder / file.path)

    async def write(self, chunk: bytes) -> None:
        """Append `chunk`.

        Raises:
            InvalidInput: these are more bytes than were declared (WRONG_SIZE); nothing of the chunk is written.
            StoreFull: there is no room.
        """
        file = self._begun
        self._written_bytes += len(chunk)
        if self._written_bytes > file.size_bytes:
            raise _wrong_size(file, f"at least {self._written_bytes}")
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk)
        # Small chunks are gathered: a thread costs more than they do.
        if self._waiting_bytes >= CHUNK_BYTES:
            await self._flush()

    async def finish(self) -> None:
        """End the file.

        Raises:
            InvalidInput: there are fewer bytes than declared (WRONG_SIZE), or others (HASH_MISMATCH).
        """
        file = self._begun
        if self._written_bytes != file.size_bytes:
            raise _wrong_size(file, str(self._written_bytes))
        await self._flush()
        if (found := self._hash.hexdigest()) != file.sha256:
            raise InvalidInput(
                f"the file {file.path[:80]!r} has the sha256 {found}, expected {file.sha256}",
                reason="HASH_MISMATCH",
                field="sha256",
            )
        self._file = None

    async def copy(self, file: ArtifactFile, content: AsyncIterator[bytes]) -> None:
        """Take a whole file from the store. A copy, never a link: what is examined here must not be able to change it.

        Raises:
            DataLost: the store's bytes are not those of that hash.
        """
        await self.begin(file)
        try:
            async for chunk in content:
                await self.write(chunk)
            await self.finish()
        except InvalidInput as error:
            raise DataLost(
                f"what the artifact store holds for {file.path[:80]!r} is damaged: send the file again"
            ) from error

    @property
    def _begun(self) -> ArtifactFile:
        assert self._file is not None, "no file was begun: this is a bug"
        return self._file

    async def _flush(self) -> None:
        chunks, self._waiting, self._waiting_bytes = self._waiting, [], 0
        await in_thread(self._append, self.folder / self._begun.path, chunks)

    def _create(self, path: Path) -> None:
        with disk_errors():
            path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

    def _append(self, path: Path, chunks: list[bytes]) -> None:
        with disk_errors(), path.open("ab", buffering=0) as opened:
            for chunk in chunks:
                self._hash.update(chunk)
                rest = memoryview(chunk)
                while rest:
                    rest = rest[opened.write(rest) :]


class StagingArea:
    """Hands out folders for uploads, at most `at_once`, and for other work; an async context manager.

    Processes may share `folder`: each has a part of its own and holds a lock beside it for as long as it lives, so that
    whoever starts next knows whose parts were left behind.
    """

    def __init__(self, folder: Path, *, at_once: int = 4) -> None:
        self._folder = folder.absolute()  # child processes that load what lies there work in folders of their own
        self._own = self._folder / secrets.token_hex(16)
        self._at_once = at_once
        self._open = 0
        self._lock = -1
        self._entering = asyncio.Lock()

    async def __aenter__(self) -> Self:
        try:
            await self._enter()
        except (StoreFull, StoreUnavailable) as error:
            # A server whose disk takes nothing serves all the same; the first upload tries again.
            _log.warning("no upload can be taken for now", trouble=error.message)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._lock >= 0:
            await in_thread(self._leave)

    @contextlib.asynccontextmanager
    async def stage(self, manifest: Manifest) -> AsyncIterator[Staging]:
        """A folder for the files of `manifest`, which is gone afterwards, however it ends.

        Raises:
            Overloaded: too many uploads are under way.
            StoreFull: they would not fit on the disk.
            StoreUnavailable: the disk takes nothing.
        """
        if self._open >= self._at_once:
            raise Overloaded(
                f"{self._open} uploads are under way, the limit is {self._at_once}",
                retry_after_s=_RETRY_S,
                reason="TOO_MANY_UPLOADS",
            )
        self._open += 1
        try:
            async with self.scratch(size_bytes=manifest.size_bytes) as folder:
                yield Staging(folder, manifest)
        finally:
            self._open -= 1

    @contextlib.asynccontextmanager
    async def scratch(self, *, size_bytes: int = 0) -> AsyncIterator[Path]:
        """An empty folder for any work, which is gone afterwards, however it ends; after a kill, at the next start.

        Args:
            size_bytes: What must fit.

        Raises:
            StoreFull: it would not fit on the disk.
            StoreUnavailable: the disk takes nothing.
        """
        folder = self._own / secrets.token_hex(16)
        try:
            await self._enter()
            await in_thread(self._make, folder, size_bytes)
            yield folder
        finally:
            await in_thread(_remove, folder)

    async def _enter(self) -> None:
        async with self._entering:  # uploads that come together find it done
            if self._lock < 0:
                await in_thread(self._enter_blocking)

    def _enter_blocking(self) -> None:
        with disk_errors():
            self._folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            self._lock = _lock(_lock_of(self._own))
            for beside in self._folder.glob("*.lock"):
                if beside != _lock_of(self._own) and (left := _try_lock(beside)) is not None:
                    _log.info("removing the uploads of a process that is gone")
                    _remove(beside.with_suffix(""))
                    beside.unlink(missing_ok=True)
                    os.close(left)

    def _leave(self) -> None:
        _remove(self._own)
        with contextlib.suppress(OSError):
            _lock_of(self._own).unlink(missing_ok=True)
        os.close(self._lock)

    def _make(self, folder: Path, size_bytes: int) -> None:
        with disk_errors():
            self._own.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            folder.mkdir(mode=PRIVATE_FOLDER)
            # Now rather than after the caller has sent gigabytes.
            if (free_bytes := shutil.disk_usage(folder).free) < size_bytes:
                raise StoreFull(f"there is no room for an upload of {size_bytes} bytes: {free_bytes} are free")


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _lock(path: Path) -> int:
    """A descriptor that holds the lock at `path`, which is ours; another process may just be looking whether it is."""
    for _ in range(_LOOKS):
        if (lock := _try_lock(path)) is not None:
            return lock
        time.sleep(_LOOK_S)
    raise StoreUnavailable("another process holds the lock of this one's uploads", retry_after_s=_RETRY_S)


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock at `path`, or None if somebody holds it."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Somebody who cleaned up may have removed it between its opening and its locking.
            if os.path.samestat(path.stat(), os.fstat(lock)):
                return lock
        except FileNotFoundError:
            pass
        except BlockingIOError:
            os.close(lock)
            return None
        os.close(lock)


def _remove(folder: Path) -> None:
    # What a disk keeps that does not even remove goes at the next start.
    shutil.rmtree(folder, ignore_errors=True)


def _wrong_size(file: ArtifactFile, got: str) -> InvalidInput:
    return InvalidInput(
        f"the file {file.path[:80]!r} was declared with {file.size_bytes} bytes, got {got}",
        reason="WRONG_SIZE",
        field="size_bytes",
    )
