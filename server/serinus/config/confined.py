"""Finds files of a repository without ever leaving it: no `..`, no absolute names, no symlink to elsewhere."""

from pathlib import Path, PurePosixPath

from serinus.core.errors import ModelRejected

_LONGEST_TEXT_BYTES = 4 << 20  # a list of a million labels fits; a model file named by mistake does not


def confine(folder: Path, name: str, *, within: Path) -> Path:
    """The entry `name` of `folder` or of its subfolders; it need not exist.

    Args:
        folder: Where the name starts.
        name: Never absolute and never upwards.
        within: What links may not leave: `folder` or a folder around it.

    Raises:
        ModelRejected: it lies outside.
    """
    relative = PurePosixPath(name)
    if not name or "\0" in name or relative.is_absolute() or ".." in relative.parts:
        raise ModelRejected(f"expected a file name inside the model's folder, got {name[:128]!r}")
    path = folder / relative
    if not is_inside(path, within):
        raise ModelRejected(f"{name[:128]!r} is a link to a place where this model may not read")
    return path


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path`, with every link followed, lies in `folder`."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a loop of links
        return False


def read_text(folder: Path, name: str) -> str:
    """The UTF-8 text of the file `name` of `folder`.

    Raises:
        ModelRejected: it lies outside, cannot be read, is too long, or is not text.
    """
    path = confine(folder, name, within=folder)
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_TEXT_BYTES + 1)
    except OSError as error:
        raise ModelRejected(f"{name[:128]!r} cannot be read: {error.strerror}") from error
    if len(content) > _LONGEST_TEXT_BYTES:
        raise ModelRejected(f"{name[:128]!r} is too long: expected at most {_LONGEST_TEXT_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelRejected(f"{name[:128]!r} is not UTF-8 text") from error
