"""Tells which tool wrote a folder of models, and takes over what it holds."""

from pathlib import Path

from serinus.config.confined import is_inside
from serinus.config.errors import ConfigError
from serinus.config.importing import FoundVersions, ImportedVersion, Locations
from serinus.config.mlflow_import import MLMODEL, import_mlflow_model
from serinus.config.triton_import import import_triton_model
from serinus.core.errors import ModelRejected, ServerError

_CONFIG = "config.pbtxt"


def find_models(directory: Path, *, locations: Locations) -> FoundVersions:
    """Every model in `directory`, which is an MLflow model, a Triton model, or a folder of either. Blocks on files.

    One that is broken does not keep the others from being found, and no file outside of `directory` is read.

    Args:
        directory: Where to look.
        locations: Reads where the tensors of an ONNX file are that are not in it.

    Raises:
        ConfigError: it is not a folder that can be read, or there is nothing in it that could be a model.
    """
    root = directory.resolve()
    try:
        entries = sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
        folders = [entry for entry in entries if entry.is_dir()]
    except OSError as error:
        raise ConfigError([f"{str(directory)!r} cannot be read: {error.strerror}"]) from error
    # 1. The folder is a model. 2. Its folders are.
    if (root / MLMODEL).exists() or (root / _CONFIG).exists() or any(_is_version(folder) for folder in folders):
        folders, ignored = [root], []
    else:
        ignored = [entry.name[:128] for entry in entries if entry not in folders]
    if not folders:
        raise ConfigError([f"{str(directory)!r}: expected an MLflow model, a Triton model, or folders of them"])
    versions: dict[str, ImportedVersion] = {}
    rejected: dict[str, str] = {}
    for folder in folders:
        try:
            found = {f"{each.model}@{each.version}": each for each in _import(folder, root, locations)}
        except ServerError as error:
            rejected[folder.name] = error.message
            continue
        if twice := sorted(found.keys() & versions.keys()):
            rejected[folder.name] = f"{twice[0]} is in another folder as well"
        else:
            versions |= found
    ordered = sorted(versions.values(), key=lambda each: (each.model, each.version))
    return FoundVersions(tuple(ordered), tuple(ignored), rejected)


def _import(folder: Path, root: Path, locations: Locations) -> tuple[ImportedVersion, ...]:
    if not is_inside(folder, root):
        raise ModelRejected(f"{folder.name[:128]!r} is a link that leaves the folder")
    if (folder / MLMODEL).exists():
        return (import_mlflow_model(folder, locations=locations),)
    return import_triton_model(folder, within=root, locations=locations)


def _is_version(folder: Path) -> bool:
    return folder.name.isascii() and folder.name.isdigit() and any(folder.glob("*.onnx"))
