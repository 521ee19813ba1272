"""What a bundle of files must look like before a byte of it is taken: names, sizes, hashes, and which file is what."""

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from typing import Final

from serinus.core.artifact import ArtifactFile, Manifest, check_artifact_path, check_sha256
from serinus.core.errors import InvalidInput, ModelRejected

UNSAFE_SUFFIXES: Final = (
    *(".pkl", ".pickle", ".dill", ".cloudpickle", ".joblib", ".pt", ".pth", ".ckpt", ".mar", ".skops"),
    *(".so", ".dll", ".dylib", ".pyd"),
)
"""Files that run code when they are read as what they are; nothing here reads them, and nothing downstream should."""
_MAIN = ".onnx"
_GOLDEN = ".npz"


@dataclasses.dataclass(frozen=True, slots=True)
class BundleLimits:
    """How large a bundle may be.

    Attributes:
        files: Most files.
        size_bytes: Of all files together.
    """

    files: int = 1000  # weights are kept in one file, or in one for each layer
    size_bytes: int = 8 << 30  # larger ones are no models for this server's machines


def check_bundle(files: Sequence[ArtifactFile], main: str, goldens: Collection[str], limits: BundleLimits) -> Manifest:
    """The manifest that a caller means.

    Args:
        files: As declared.
        main: Path of the ONNX file; "" for the only one.
        goldens: Paths of golden requests.
        limits: How large it may be.

    Raises:
        InvalidInput: names clash, hashes are none, it is too large, or `main` or a golden request is not in it.
        ModelRejected: it holds a file that is code (UNSAFE_FORMAT).
    """
    if not 0 < len(files) <= limits.files:
        raise InvalidInput(
            f"expected a bundle of 1 to {limits.files} files, got {len(files)}", reason="TOO_MANY_FILES", field="files"
        )
    for file in files:
        check_artifact_path(file.path)
        check_sha256(file.sha256)
    size_bytes = sum(file.size_bytes for file in files)
    if size_bytes > limits.size_bytes or any(file.size_bytes < 0 for file in files):
        raise InvalidInput(
            f"expected a bundle of at most {limits.size_bytes} bytes, got {size_bytes}",
            reason="BUNDLE_TOO_LARGE",
            field="files",
        )
    _check_clashes([file.path for file in files])
    _check_sizes(files)
    for file in files:
        _check_suffix(file.path)
    paths = {file.path for file in files}
    for golden in goldens:
        if golden not in paths or not golden.lower().endswith(_GOLDEN):
            raise InvalidInput(
                f"the golden request {golden[:80]!r} is not a {_GOLDEN} file of the bundle",
                reason="INVALID_GOLDEN",
                field="goldens",
            )
    return Manifest(_main(main, paths), tuple(sorted(files, key=lambda file: file.path)))


def _main(main: str, paths: Collection[str]) -> str:
    if main and main not in paths:
        raise InvalidInput(f"the main file {main[:80]!r} is not in the bundle", reason="INVALID_MAIN", field="main")
    candidates = [path for path in sorted(paths) if path.lower().endswith(_MAIN) and main in {"", path}]
    if len(candidates) != 1:
        raise InvalidInput(
            f"expected one {_MAIN} file, or `main` to say which it is; got {len(candidates)}",
            reason="INVALID_MAIN",
            field="main",
        )
    return candidates[0]


def _check_clashes(paths: Sequence[str]) -> None:
    """Two names that are one file somewhere, or a file where another path needs a folder."""
    files: set[str] = set()
    folders: set[str] = set()
    spelled: dict[str, str] = {}
    for path in paths:
        folded = path.casefold()
        if folded in files:
            raise _clash(path)
        files.add(folded)
        for above in (PurePosixPath(path), *PurePosixPath(path).parents):
            if spelled.setdefault(str(above).casefold(), str(above)) != str(above):
                raise _clash(path)
        folders.update(str(above).casefold() for above in PurePosixPath(path).parents)
    for path in paths:
        if path.casefold() in folders:
            raise _clash(path)


def _clash(path: str) -> InvalidInput:
    return InvalidInput(
        f"the path {path[:80]!r} clashes with another of the bundle: names must differ by more than case, and no file"
        " can be a folder too",
        reason="PATH_CLASH",
        field="path",
    )


def _check_sizes(files: Sequence[ArtifactFile]) -> None:
    sizes: dict[str, int] = {}
    for file in files:
        if sizes.setdefault(file.sha256, file.size_bytes) != file.size_bytes:
            raise InvalidInput(
                f"the file {file.path[:80]!r} has the sha256 of another file and another size",
                reason="WRONG_SIZE",
                field="size_bytes",
            )


def _check_suffix(path: str) -> None:
    name = path.lower()
    # A library may carry its version behind its suffix.
    if name.endswith(UNSAFE_SUFFIXES) or ".so." in name:
        raise unsafe(path, "a pickle or a library by its name")


def unsafe(path: str, what: str) -> ModelRejected:
    """The error for a file that is code."""
    return ModelRejected(
        f"the file {path[:80]!r} is {what}, which is code or runs code when it is read; only ONNX models and data are"
        " accepted",
        reason="UNSAFE_FORMAT",
        field="files",
    )
