"""Content in a folder of this machine, so that what was kept once survives a kill and a power loss.

obstore's LocalStore does not ask the disk to write (fsync), which is why this is our own: a registered version whose
bytes are gone after a power loss was never registered.

    <folder>/sha256/ab/cdef…   one content, read only; whole if it has this name
    <folder>/tmp/…             what is being written
    <folder>/lock              held shared to touch or name a content, exclusively to delete one
"""

import contextlib
import fcntl
import math
import os
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from pathlib import Path
from typing import Final

from serinus.core.artifact import check_sha256
from serinus.core.errors import DataLost, InvalidInput
from serinus.registry.failpoints import Failpoint, pass_by
from serinus.registry.files.blobs import StoredBlob
from serinus.registry.files.disk import CHUNK_BYTES, PRIVATE_FOLDER, Disk, disk_errors, in_stoppable_thread, in_thread
from serinus.registry.files.incoming import Incoming, sha256_of
from serinus.telemetry.logs import get_logger

Check = Callable[[], None]

ARTIFACT_MISSING: Final = "ARTIFACT_MISSING"

_log = get_logger(__name__)


class LocalBlobs:
    """Content by its SHA-256 in a folder, which several processes may share."""

    def __init__(self, folder: Path, *, reach: Callable[[Failpoint], None] = pass_by, disk: Disk | None = None) -> None:
        self._folder = folder.absolute()  # children that load the files work in folders of their own
        self._reach = reach
        self._disk = Disk() if disk is None else disk
        self._durable_folders: set[Path] = set()

    async def put(self, file: Path, sha256: str) -> None:
        """Keep the content of `file`; see Blobs.

        It is copied and hashed on the way, because whoever wrote the file may still have it open.
        """
        await in_stoppable_thread(lambda check: self._put(file, sha256, check))

    async def receive(self, chunks: AsyncIterator[bytes], sha256: str) -> None:
        """Keep a content that comes from elsewhere, if it has that hash.

        Raises:
            DataLost: it has another.
        """
        incoming = self._incoming()
        try:
            await in_thread(self._open, incoming)
            async for chunk in chunks:
                await in_thread(incoming.write, chunk)
            await in_thread(self._keep, incoming, sha256)
        finally:
            await in_thread(incoming.discard)

    async def has(self, sha256s: Collection[str]) -> frozenset[str]:
        """Those of `sha256s` that are kept; they count as put now, so that nobody collects them for a while."""
        return await in_thread(lambda: frozenset(filter(self._touch, sha256s)))

    async def path(self, sha256: str) -> Path:
        """The file with the content."""
        path = self._path(sha256)
        with disk_errors():
            if not await in_thread(path.is_file):
                raise missing(sha256)
        return path

    async def is_whole(self, sha256: str) -> bool:
        """Whether the content is kept, and still has its hash."""
        return await in_stoppable_thread(lambda check: self._is_whole(self._path(sha256), sha256, check))

    async def verify(self, sha256: str) -> bool:
        """Whether the content is kept and has that hash; one that has another is removed."""
        # Twice, because it is the reading that may have failed.
        if await self.is_whole(sha256) or await self.is_whole(sha256):
            return True
        if await self.delete(sha256, older_than=math.inf):
            _log.error("a damaged content was removed: registering it again brings it back", sha256=sha256)
        return False

    async def read(self, sha256: str, offset: int = 0) -> AsyncIterator[bytes]:
        """The content from byte `offset` on."""
        # Opened for each piece: nothing stays open while a slow reader holds it, or when one goes away.
        while chunk := await in_thread(self._read, sha256, offset):
            yield chunk
            offset += len(chunk)

    async def delete(self, sha256: str, *, older_than: float) -> bool:
        """Remove the content if it was last put or asked for before `older_than`; whether it was."""
        return await in_thread(self._delete, self._path(sha256), older_than)

    async def list(self) -> AsyncIterator[StoredBlob]:
        """All that is kept."""
        for prefix in await in_thread(_names, self._folder / "sha256"):
            for blob in await in_thread(self._in_folder, prefix):
                yield blob

    async def claim(self, owner: str) -> str:
        """Whose the folder is; see Blobs."""
        return await in_thread(self._claim, owner)

    async def sweep(self, _used: frozenset[str], /, *, older_than: float) -> None:
        """Remove what writes that were cut off before `older_than` left behind."""
        await in_thread(self._sweep, older_than)

    def _claim(self, owner: str) -> str:
        mark, draft = self._folder / "owner", self._folder / "tmp" / secrets.token_hex(16)
        with disk_errors():
            self._make_durable(draft.parent)
            draft.write_text(owner, encoding="ascii")
            # A link is made whole or not at all, and never in the place of another.
            with contextlib.suppress(FileExistsError):
                os.link(draft, mark)
            draft.unlink()
            return mark.read_text(encoding="ascii", errors="replace")

    def _path(self, sha256: str) -> Path:
        check_sha256(sha256)  # what a caller says becomes part of a path here
        return self._folder / "sha256" / sha256[:2] / sha256[2:]

    def _put(self, file: Path, sha256: str, check: Check) -> None:
        target = self._path(sha256)
        if self._touch(sha256) and self._is_whole(target, sha256, check):
            # Its name may be there, but not on the disk: whoever wrote it may have died in between.
            with disk_errors():
                self._disk.sync_folder(target.parent)
            return
        incoming = self._incoming()
        try:
            self._open(incoming)
            with disk_errors(), file.open("rb", buffering=0) as source:
                while chunk := source.read(CHUNK_BYTES):
                    check()
                    incoming.write(chunk)
            self._keep(incoming, sha256)
        finally:
            incoming.discard()

    def _read(self, sha256: str, offset: int) -> bytes:
        with disk_errors():
            try:
                with self._path(sha256).open("rb", buffering=0) as file:
                    file.seek(offset)
                    return file.read(CHUNK_BYTES)
            except FileNotFoundError as error:
                raise missing(sha256) from error

    def _incoming(self) -> Incoming:
        return Incoming(self._folder / "tmp" / secrets.token_hex(16))

    def _open(self, incoming: Incoming) -> None:
        with disk_errors():
            self._make_durable(incoming.path.parent)
            incoming.open()

    def _keep(self, incoming: Incoming, sha256: str) -> None:
        """The order decides: bytes, then the name, then the folder that holds the name."""
        target = self._path(sha256)
        if incoming.sha256 != sha256:
            raise DataLost(f"the content with sha256 {sha256[:12]}… changed before it could be kept")
        with disk_errors():
            self._make_durable(target.parent)
            incoming.sync(self._disk)
            self._reach(Failpoint.BLOB_SYNCED)
            with self._locked(fcntl.LOCK_SH):
                self._disk.rename(incoming.path, target)
            self._reach(Failpoint.BLOB_RENAMED)
            self._disk.sync_folder(target.parent)
            self._reach(Failpoint.FOLDER_SYNCED)

    def _make_durable(self, folder: Path) -> None:
        """Make the folder and those above it up to the store's own, and have their names written."""
        if folder in self._durable_folders and folder.is_dir():
            return
        if folder != self._folder:
            self._make_durable(folder.parent)
        folder.mkdir(mode=PRIVATE_FOLDER, parents=folder == self._folder, exist_ok=True)
        self._disk.sync_folder(folder.parent)
        self._durable_folders.add(folder)

    def _is_whole(self, path: Path, sha256: str, check: Check) -> bool:
        with disk_errors():
            try:
                return sha256_of(path, check) == sha256
            except FileNotFoundError:
                return False

    def _touch(self, sha256: str) -> bool:
        path = self._path(sha256)
        with disk_errors():
            if not path.exists():
                return False
            with self._locked(fcntl.LOCK_SH):
                try:
                    os.utime(path, follow_symlinks=False)
                except FileNotFoundError:
                    return False
        return True

    def _delete(self, path: Path, older_than: float) -> bool:
        with disk_errors():
            if not path.exists():
                return False
            # Exclusively, so that nobody finds the content present between the look at its age and its removal.
            with self._locked(fcntl.LOCK_EX):
                try:
                    if path.stat().st_mtime >= older_than:
                        return False
                    path.unlink()
                except FileNotFoundError:
                    return False
        return True

    def _in_folder(self, prefix: str) -> tuple[StoredBlob, ...]:
        found = []
        with (
            disk_errors(),
            contextlib.suppress(FileNotFoundError),
            os.scandir(self._folder / "sha256" / prefix) as all_,
        ):
            for entry in all_:
                sha256 = prefix + entry.name
                with contextlib.suppress(InvalidInput, FileNotFoundError):  # not ours, or deleted by now
                    status = entry.stat(follow_symlinks=False)
                    found.append(StoredBlob(check_sha256(sha256), status.st_mtime, status.st_size))
        return tuple(found)

    def _sweep(self, older_than: float) -> None:
        with disk_errors():
            for name in _names(self._folder / "tmp"):
                path = self._folder / "tmp" / name
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime < older_than:
                        path.unlink()

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Hold the lock of all processes that share the folder; for microseconds, so that waiting needs no bound."""
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, how)
            yield
        finally:
            os.close(lock)


def _names(folder: Path) -> list[str]:
    with disk_errors():
        try:
            return sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []


def missing(sha256: str) -> DataLost:
    """The error for a content that should be kept and is not."""
    return DataLost(f"the content with sha256 {sha256[:12]}… is not in the artifact store", reason=ARTIFACT_MISSING)
