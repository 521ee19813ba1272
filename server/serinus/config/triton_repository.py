"""Reads a folder of models in Triton's layout: `<model>/<version>/model.onnx` and `<model>/config.pbtxt`."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from open_inference.model_config_pb2 import ModelConfig, ModelVersionPolicy
from serinus.config.confined import is_inside, read_text
from serinus.config.errors import ConfigError
from serinus.config.models import ModelSpec
from serinus.config.triton_ignored import ignored_fields
from serinus.config.triton_model import check_is_onnx, doubts, model_spec
from serinus.config.triton_text import parse_config_text
from serinus.config.triton_versions import find_versions
from serinus.core.errors import ModelRejected, NotFound, ServerError
from serinus.core.version import check_model_name

_CONFIG_FILE = "config.pbtxt"


@dataclasses.dataclass(frozen=True)
class FoundModel:
    """One model of a repository.

    Attributes:
        spec: What to serve.
        warnings: What is not done as its configuration says; each names the model.
    """

    spec: ModelSpec
    warnings: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Repository:
    """What a repository holds. Its sentences have no paths and can be shown to clients.

    Attributes:
        models: What can be served, by name.
        warnings: What is not done as the operator may expect.
        rejected: Why a folder is not served, by its name.
    """

    models: tuple[ModelSpec, ...]
    warnings: tuple[str, ...]
    rejected: dict[str, str]


def read_repository(root: Path) -> Repository:
    """Every model in `root`; one that is broken does not keep the others from being found.

    Raises:
        ConfigError: `root` is not a folder that can be read.
    """
    models: list[ModelSpec] = []
    warnings: list[str] = []
    rejected: dict[str, str] = {}
    try:
        entries = sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise ConfigError([f"model_repository: {str(root)!r} cannot be read: {error.strerror}"]) from error
    for entry in entries:
        if not entry.is_dir():
            warnings.append(f"{entry.name[:128]!r} is not a folder; ignored")
            continue
        try:
            found = read_model(root, entry.name)
        except ServerError as error:
            rejected[entry.name] = error.message
        else:
            models.append(found.spec)
            warnings.extend(found.warnings)
    return Repository(tuple(models), tuple(warnings), rejected)


def read_model(root: Path, name: str, override: ModelConfig | None = None) -> FoundModel:
    """The model `name` of the repository `root`, as it lies there now.

    Args:
        root: The repository.
        name: As a client wrote it.
        override: Counts in place of `config.pbtxt`.

    Raises:
        InvalidInput: no model can have this name.
        NotFound: the repository has no such folder.
        ModelRejected: it is there and cannot be served.
    """
    folder = _model_folder(root, name)
    with _readable(name):
        config = override if override is not None else _own_config(folder)
        return _found(root, folder, config, (config or ModelConfig()).version_policy)


def read_every_version(root: Path, name: str) -> FoundModel:
    """As `read_model`, with all versions, whichever of them the model's policy asks for.

    Raises:
        InvalidInput: no model can have this name.
        NotFound: the repository has no such folder.
        ModelRejected: it is there and cannot be served.
    """
    folder = _model_folder(root, name)
    with _readable(name):
        config = _own_config(folder)
        found = _found(root, folder, config, ModelVersionPolicy(all=ModelVersionPolicy.All()))
    if config is None or config.version_policy.WhichOneof("policy_choice") in {None, "all"}:
        return found
    return FoundModel(found.spec, (*found.warnings, f"{name}: version_policy is ignored: every version is taken"))


def _model_folder(root: Path, name: str) -> Path:
    folder = root / check_model_name(name)
    if not folder.is_dir():
        raise NotFound(f"model {name!r} is not in the repository", field="model")
    if not is_inside(folder, root):
        raise ModelRejected(f"{name!r} is a link that leaves the repository")
    return folder


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelRejected(f"the folder of {name!r} cannot be read: {error.strerror}") from error


def _found(root: Path, folder: Path, config: ModelConfig | None, policy: ModelVersionPolicy) -> FoundModel:
    name = folder.name
    file_name = "" if config is None else config.default_model_filename
    chosen = ModelConfig(default_model_filename=file_name, version_policy=policy)
    if config is None:
        versions = find_versions(folder, chosen, root=root)
        spec, warnings = ModelSpec(name=name, versions=versions.files), versions.warnings
    else:
        if config.name not in {"", name}:
            raise ModelRejected(f"name: expected {name!r} like its folder, or nothing; got {config.name[:128]!r}")
        check_is_onnx(config)
        versions = find_versions(folder, chosen, root=root)
        spec = model_spec(name, versions.files, folder, config)
        warnings = (*versions.warnings, *doubts(config), *_ignored(config))
    return FoundModel(spec, tuple(f"{name}: {warning}" for warning in warnings))


def _own_config(folder: Path) -> ModelConfig | None:
    if not (folder / _CONFIG_FILE).is_symlink() and not (folder / _CONFIG_FILE).exists():
        return None
    return parse_config_text(read_text(folder, _CONFIG_FILE))


def _ignored(config: ModelConfig) -> tuple[str, ...]:
    fields = ignored_fields(config)
    return (f"the configuration sets what is ignored here: {', '.join(fields)}",) if fields else ()
