"""What a registered version consists of: files by their hash, gathered in a manifest."""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Self

from serinus.core.errors import InvalidInput

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}", re.ASCII)
_LONGEST_PATH = 512
MOST_FILES = 4096  # a model whose every tensor has a file of its own fits


def check_sha256(text: str) -> str:
    """Return `text` if it is a SHA-256 in lower-case hexadecimal.

    Raises:
        InvalidInput: it is not.
    """
    if _SHA256.fullmatch(text) is None:
        raise InvalidInput(
            f"expected a sha256 of 64 lower-case hexadecimal digits, got {text[:80]!r}",
            reason="INVALID_HASH",
            field="sha256",
        )
    return text


def check_artifact_path(path: str) -> str:
    """Return `path` if it can name a file of a bundle: relative, `/` between plain names, no `..`, nothing hidden.

    Raises:
        InvalidInput: it cannot.
    """
    if len(path) > _LONGEST_PATH or not all(_PART.fullmatch(part) for part in path.split("/")):
        raise InvalidInput(
            f"invalid path {path[:80]!r} in a bundle: expected names of letters, digits and ._+- with '/' between them",
            reason="INVALID_PATH",
            field="path",
        )
    return path


@dataclasses.dataclass(frozen=True, slots=True)
class ArtifactFile:
    """One file of a bundle.

    Attributes:
        path: Where it stands in the bundle, as the model file names it; see `check_artifact_path`.
        sha256: Of its content.
        size_bytes: Of its content.
    """

    path: str
    sha256: str
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All files of one version.

    Attributes:
        main: Path of the ONNX file.
        files: Every file, `main` included, by ascending path, each path once.
    """

    main: str
    files: tuple[ArtifactFile, ...]

    @classmethod
    def of(cls, main: str, files: Iterable[ArtifactFile]) -> Self:
        """The manifest of files that somebody else names.

        Args:
            main: Path of the ONNX file; "" for the only one.
            files: In any order.

        Raises:
            InvalidInput: a path, a hash or a size is none, or no folder can hold the files, because two names are one
                where case does not count, or a file would be a folder as well.
        """
        ordered = tuple(sorted(files, key=lambda each: each.path))
        if not 0 < len(ordered) <= MOST_FILES:
            raise _invalid(f"files: expected from 1 to {MOST_FILES}, got {len(ordered)}")
        for each in ordered:
            check_artifact_path(each.path)
            check_sha256(each.sha256)
            if each.size_bytes < 0:
                raise _invalid(f"{each.path!r}: expected a size, got {each.size_bytes}")
        _check_names(each.path for each in ordered)
        main = main or (ordered[0].path if len(ordered) == 1 else "")
        if all(each.path != main for each in ordered):
            raise _invalid(f"main: expected one of the files, got {main[:80]!r}")
        return cls(main, ordered)

    @functools.cached_property
    def file(self) -> Mapping[str, ArtifactFile]:
        """The files by path."""
        return {each.path: each for each in self.files}

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over the names and hashes of all files: two versions with the same one are the same bytes."""
        document = {"main": self.main, "files": {each.path: each.sha256 for each in self.files}}
        return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(each.size_bytes for each in self.files)


def _check_names(paths: Iterable[str]) -> None:
    """Check that each file and each folder has a name that nothing else has, in any case."""
    folders: dict[str, str] = {}
    names: dict[str, str] = {}
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folders.setdefault(folder.lower(), folder) != folder:
                raise _clash(folders[folder.lower()], folder)
        if path.lower() in names:
            raise _clash(names[path.lower()], path)
        names[path.lower()] = path
    for both in sorted(names.keys() & folders.keys()):
        raise _clash(*sorted([names[both], folders[both]]))


def _clash(one: str, other: str) -> InvalidInput:
    return _invalid(f"files: {one[:80]!r} and {other[:80]!r} cannot lie in one folder")


def _invalid(message: str) -> InvalidInput:
    return InvalidInput(message, reason="INVALID_MANIFEST", field="files")
