"""What a registered version consists of: files by their hash, gathered in a manifest."""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Mapping

from serinus.core.errors import InvalidInput

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}", re.ASCII)
_LONGEST_PATH = 512


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
