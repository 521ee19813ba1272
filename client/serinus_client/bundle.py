"""Which files make up a version that is to be registered, and what each is called among them."""

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from serinus_client.errors import InvalidInput
from serinus_client.external_data import external_files

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}", re.ASCII)
_GOLDENS = "goldens"

StrPath = str | os.PathLike[str]
MoreFiles = StrPath | Mapping[str, StrPath] | None


@dataclasses.dataclass(frozen=True)
class Bundle:
    """The files of one version on this machine.

    Attributes:
        main: Path of the ONNX file in the bundle.
        files: Every file by its path in the bundle, ascending.
        goldens: Paths of the golden requests in the bundle.
    """

    main: str
    files: Mapping[str, Path]
    goldens: tuple[str, ...]


def gather(path: StrPath, *, main: str = "", files: MoreFiles = None, goldens: Iterable[StrPath] = ()) -> Bundle:
    """Look for the files. Blocking: call it in a thread.

    Args:
        path: An ONNX file, taken with the files beside it that it keeps weights in; or a folder, taken whole but for
            hidden names.
        main: In a folder the ONNX file, where there are several.
        files: More of them: a folder, or file by path in the bundle.
        goldens: Golden requests, .npz; those that are no files of the bundle yet come into its folder `goldens`.

    Raises:
        InvalidInput: something is not there, or two files would have one name.
    """
    source = Path(path)
    chosen: dict[str, Path] = {}
    if source.is_dir():
        _add(chosen, _files_of(source))
        main = main or _only_model(source, chosen)
    elif source.is_file():
        # No other file of a bundle names this one, so it may be called anything.
        main = main or (source.name if _PLAIN_NAME.fullmatch(source.name) else "model.onnx")
        _add(chosen, {main: source, **_external(source)})
    else:
        raise _missing(source)
    if isinstance(files, Mapping):
        _add(chosen, {name: Path(file) for name, file in files.items()})
    elif files is not None:
        if not Path(files).is_dir():
            raise InvalidInput(f"{str(files)!r}: expected a folder", reason="NO_SUCH_FILE")
        _add(chosen, _files_of(Path(files)))
    if main not in chosen:
        raise InvalidInput(f"main {main!r}: expected one of {sorted(chosen)[:8]}", reason="NO_SUCH_FILE")
    names = tuple(_add_golden(chosen, Path(golden)) for golden in goldens)
    return Bundle(main, dict(sorted(chosen.items())), names)


def _add(chosen: dict[str, Path], more: Mapping[str, Path]) -> None:
    for name, file in more.items():
        if not file.is_file():
            raise _missing(file)
        if name in chosen and not file.samefile(chosen[name]):
            raise InvalidInput(f"two files would be {name!r} in the bundle: {str(chosen[name])!r} and {str(file)!r}")
        chosen[name] = file


def _add_golden(chosen: dict[str, Path], golden: Path) -> str:
    if not golden.is_file():
        raise _missing(golden)
    for name, file in chosen.items():
        if golden.samefile(file):
            return name
    name = f"{_GOLDENS}/{golden.name}"
    _add(chosen, {name: golden})
    return name


def _files_of(folder: Path) -> dict[str, Path]:
    """All files below, without what is hidden; links to files count, links to folders are not followed."""
    found: dict[str, Path] = {}
    for above, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                file = Path(above, name)
                found[file.relative_to(folder).as_posix()] = file
    return found


def _only_model(folder: Path, files: Mapping[str, Path]) -> str:
    models = sorted(name for name in files if name.endswith(".onnx"))
    if len(models) != 1:
        raise InvalidInput(
            f"{str(folder)!r}: expected one .onnx file, got {models[:8] or 'none'}: say which is the main one",
            reason="NO_SUCH_FILE",
        )
    return models[0]


def _external(model: Path) -> Mapping[str, Path]:
    try:
        return external_files(model)
    except OSError as error:
        raise InvalidInput(f"cannot read {str(model)!r}: {error.strerror}", reason="NO_SUCH_FILE") from error


def _missing(file: Path) -> InvalidInput:
    return InvalidInput(f"there is no file {str(file)!r}", reason="NO_SUCH_FILE")
