"""Disks that tell what was asked of them, refuse, or lose what was not yet written when the power went."""

import dataclasses
import errno
import hashlib
import os
from pathlib import Path

from serinus.registry.files.disk import Disk


def sha256(content: bytes) -> str:
    """In lower-case hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def a_file(folder: Path, content: bytes, name: str = "given") -> Path:
    """A file with that content."""
    path = folder / name
    path.write_bytes(content)
    return path


def files_below(folder: Path) -> dict[str, bytes]:
    """Content by path of every file below `folder`."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


class RecordingDisk(Disk):
    """Does what it is told and keeps a list of it, with paths relative to `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.calls: list[tuple[str, str]] = []

    def sync(self, file: int) -> None:
        self.calls.append(("sync", self._name(Path(f"/proc/self/fd/{file}").readlink())))
        super().sync(file)

    def rename(self, source: Path, target: Path) -> None:
        self.calls.append(("rename", self._name(target)))
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self.calls.append(("sync folder", self._name(folder)))
        super().sync_folder(folder)

    def _name(self, path: Path | str) -> str:
        name = os.path.relpath(path, self._folder)
        return "tmp/*" if name.startswith("tmp/") else name


class LossyDisk(Disk):
    """Keeps beside what it does what a power loss would leave: contents that were synced, names whose folder was."""

    def __init__(self) -> None:
        self._contents: dict[int, bytes] = {}
        self.durable: dict[Path, bytes] = {}

    def sync(self, file: int) -> None:
        super().sync(file)
        self._contents[os.fstat(file).st_ino] = Path(f"/proc/self/fd/{file}").read_bytes()

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        for path in folder.iterdir():
            if path.is_file():
                # A name without its bytes is what a file looks like that was renamed too early.
                self.durable[path] = self._contents.get(path.stat().st_ino, b"")


@dataclasses.dataclass
class FullDisk(Disk):
    """Refuses to sync with `number` for as long as it is set."""

    number: int = errno.ENOSPC

    def sync(self, file: int) -> None:
        if self.number:
            raise OSError(self.number, os.strerror(self.number))
        super().sync(file)
