"""What is taken over from another tool's folder: versions ready to be registered, and what of them was left behind."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from serinus.config.confined import confine, is_inside
from serinus.config.version_facts import VersionFacts
from serinus.core.artifact import check_artifact_path
from serinus.core.errors import InvalidInput, ModelRejected
from serinus.core.version import Version

DEFAULT_MAIN = "model.onnx"
_SUFFIX = ".onnx"

Locations = Callable[[Path], Sequence[str]]
"""Where the tensors of an ONNX file lie that are not in it, as it names them: relative to its folder, each once.

Raises ModelRejected if it is no ONNX file."""


@dataclasses.dataclass(frozen=True)
class ImportedVersion:
    """A version that another tool's folder holds.

    Attributes:
        model: Its name here.
        version: Semantic.
        main: The ONNX file's path in the bundle, a key of `files`.
        files: File of this machine by path in the bundle.
        facts: What the folder says about it.
        ignored: What the folder says or holds and is not taken over, a sentence or a name each.
    """

    model: str
    version: Version
    main: str
    files: Mapping[str, Path]
    facts: VersionFacts
    ignored: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FoundVersions:
    """What a folder holds.

    Attributes:
        versions: By model, ascending.
        ignored: What of the folder is none of their business.
        rejected: Why a model cannot be taken over, by the name of its folder.
    """

    versions: tuple[ImportedVersion, ...]
    ignored: tuple[str, ...] = ()
    rejected: Mapping[str, str] = dataclasses.field(default_factory=dict)


def bundle_of(main: Path, *, within: Path, locations: Locations) -> tuple[str, dict[str, Path]]:
    """The path of `main` in a bundle, and the files that belong to it.

    Args:
        main: The ONNX file.
        within: The folder that no file may lie outside of, links followed.
        locations: Reads where its other tensors are.

    Raises:
        ModelRejected: a file is missing, lies elsewhere, or has a name that no bundle can have.
    """
    # Nothing refers to the ONNX file's name, so one that a bundle cannot have may change.
    name = main.name if _is_bundle_path(main.name) and main.suffix.lower() == _SUFFIX else DEFAULT_MAIN
    files = {name: checked_file(main, within=within)}
    for location in locations(main):
        path = str(PurePosixPath(location))
        if not _is_bundle_path(path):
            raise ModelRejected(
                f"external data {location[:128]!r}: expected names of letters, digits and ._+- with '/' between them"
            )
        add_file(files, path, checked_file(confine(main.parent, path, within=within), within=within))
    return name, files


def add_file(files: dict[str, Path], path: str, file: Path) -> None:
    """Put `file` into a bundle.

    Raises:
        ModelRejected: there is another one of that name.
    """
    if files.setdefault(path, file) != file:
        raise ModelRejected(f"two files would be {path[:128]!r}")


def checked_file(file: Path, *, within: Path) -> Path:
    """Return `file` if it is one, and lies in the folder `within`.

    Raises:
        ModelRejected: it is none, or lies elsewhere.
    """
    if not is_inside(file, within):
        raise ModelRejected(f"{file.name[:128]!r} is a link to a place where this model may not read")
    if not file.is_file():
        raise ModelRejected(f"{file.name[:128]!r} is missing")
    return file


def _is_bundle_path(path: str) -> bool:
    try:
        check_artifact_path(path)
    except InvalidInput:
        return False
    return True
