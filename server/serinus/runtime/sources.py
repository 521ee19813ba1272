"""Where the bytes of a model come from, and how far each place is trusted.

1. A `Path`: a file that the operator named. It is trusted; weights lie in its folder or below.
2. A `Bundle`: the files of a registered version. Each is read whole and once, and its hash is compared on the very
   bytes that are used from then on; what happens to the file afterwards does not matter. Whether it is a link does not
   matter either: its content is known.
3. A `StagedFolder`: files that somebody uploaded and that nobody has looked at. Only plain files of that folder are
   opened, through no link and with no second name.
"""

import dataclasses
import errno
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol, assert_never

from serinus.core.artifact import Manifest, check_artifact_path
from serinus.core.errors import DataLost, InvalidInput, ModelRejected, StoreUnavailable
from serinus.runtime.plain_files import Buffer, NotPlain, map_plain_file, read_whole


@dataclasses.dataclass(frozen=True)
class Bundle:
    """The files of a registered version.

    Attributes:
        manifest: What each of them must be.
        paths: Where each lies, by its path in the manifest.
    """

    manifest: Manifest
    paths: Mapping[str, Path]


@dataclasses.dataclass(frozen=True)
class StagedFolder:
    """The files of a version that is not registered yet: copies in a folder of their own.

    Attributes:
        folder: Holds nothing else.
        main: The ONNX file's path below it.
    """

    folder: Path
    main: str


ModelSource = Path | Bundle | StagedFolder
"""Where a model's ONNX file and the files that belong to it are."""


class SourceFiles(Protocol):
    """The files of one source. All methods block and raise what `ModelSource` allows: ModelRejected or DataLost."""

    @property
    def main_name(self) -> str:
        """The ONNX file's name, without folders."""
        ...

    def main(self) -> Buffer:
        """The ONNX file."""
        ...

    def weights(self, parts: Sequence[str]) -> Buffer:
        """The file that the ONNX file names, as folders and a file below its own folder.

        Raises:
            NotPlain: it is a link, or no file.
            FileNotFoundError: there is none of that name.
            OSError: it cannot be read.
            DataLost: it is not what was registered.
        """
        ...

    def file(self, path: Path) -> bytes:
        """Another file that belongs to the model, such as a sample.

        Raises:
            OSError: it cannot be read, or there is none of that name.
            DataLost: it is not what was registered.
        """
        ...


def open_source(source: ModelSource) -> SourceFiles:
    """The files of `source`; nothing is opened yet."""
    match source:
        case Path():
            return _Trusted(source)
        case Bundle():
            return _Verified(source)
        case StagedFolder():
            return _Staged(source)
        case _:
            assert_never(source)


class _Trusted:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.main_name = path.name

    def main(self) -> Buffer:
        try:
            return read_whole(self._path)
        except OSError as error:
            raise _unreadable(self.main_name, error) from error

    def weights(self, parts: Sequence[str]) -> Buffer:
        # As strict as for an upload: a model is often copied from a stranger, and could name what the server may read.
        return map_plain_file(self._path.parent, parts)

    def file(self, path: Path) -> bytes:
        return path.read_bytes()


class _Staged:
    def __init__(self, source: StagedFolder) -> None:
        self._source = source
        self._main = PurePosixPath(source.main)
        self.main_name = self._main.name

    def main(self) -> Buffer:
        try:
            return self._mapped(Path(self._main))
        except OSError as error:
            raise _unreadable(self.main_name, error) from error

    def weights(self, parts: Sequence[str]) -> Buffer:
        return map_plain_file(self._source.folder, (*self._main.parent.parts, *parts))

    def file(self, path: Path) -> bytes:
        return bytes(self._mapped(path))

    def _mapped(self, path: Path) -> Buffer:
        try:
            return map_plain_file(self._source.folder, _parts(path))
        except NotPlain as error:
            raise ModelRejected(f"the file {path.name[:64]!r} {error}", reason="FORBIDDEN_FILE") from error


class _Verified:
    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._main = PurePosixPath(bundle.manifest.main)
        self.main_name = self._main.name

    def main(self) -> Buffer:
        return self._read(self._bundle.manifest.main)

    def weights(self, parts: Sequence[str]) -> Buffer:
        return self._read(str(self._main.parent.joinpath(*parts)))

    def file(self, path: Path) -> bytes:
        return bytes(self._read("/".join(_parts(path))))

    def _read(self, path: str) -> Buffer:
        registered = self._bundle.manifest.file.get(path)
        if registered is None:
            raise FileNotFoundError(errno.ENOENT, "not in the manifest")
        name = PurePosixPath(path).name[:64]
        try:
            # Bounded: whatever lies there now must not decide how much memory is taken.
            content = read_whole(self._bundle.paths[path], registered.size_bytes)
        except (KeyError, FileNotFoundError) as error:
            raise DataLost(f"the registered file {name!r} is missing") from error
        except OSError as error:  # a disk in trouble, or no descriptor left: that may pass
            raise StoreUnavailable(f"the registered file {name!r} cannot be read now") from error
        if len(content) != registered.size_bytes or hashlib.sha256(content).hexdigest() != registered.sha256:
            raise DataLost(f"the file {name!r} is not what was registered: its bytes have another sha256")
        return content


def _parts(path: Path) -> tuple[str, ...]:
    """The folders and the file of a path that an author wrote."""
    try:
        return PurePosixPath(check_artifact_path(path.as_posix())).parts
    except InvalidInput as error:
        raise ModelRejected(error.message, reason="FORBIDDEN_FILE") from error


def _unreadable(name: str, error: OSError) -> ModelRejected:
    if isinstance(error, FileNotFoundError):
        return ModelRejected(f"there is no model file {name!r}")
    return ModelRejected(f"the model file {name!r} cannot be read: {error.strerror}")
