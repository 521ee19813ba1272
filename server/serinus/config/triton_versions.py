"""Which versions a model folder holds, and which of them its policy asks for."""

import dataclasses
import re
from pathlib import Path

from open_inference.model_config_pb2 import ModelConfig, ModelVersionPolicy
from serinus.config.confined import confine
from serinus.config.models import LAST_VERSION_NUMBER
from serinus.core.errors import ModelRejected

_NUMBER = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_EXPECTED = f"a whole number from 1 to {LAST_VERSION_NUMBER}"
_DEFAULT_FILE = "model.onnx"
_OTHER_FOLDERS = frozenset({"warmup", "configs", "initial_state"})  # Triton's own, without versions


@dataclasses.dataclass(frozen=True)
class Versions:
    """What a model folder serves.

    Attributes:
        files: ONNX file by version number, ascending.
        warnings: What was left out, and why.
    """

    files: dict[int, Path]
    warnings: tuple[str, ...]


def find_versions(folder: Path, config: ModelConfig, *, root: Path) -> Versions:
    """The versions of the model in `folder` that its version policy asks for; links may lead anywhere in `root`.

    A folder without the model file is left out before the policy counts, so that a version whose copy is under way
    does not take the place of the one before it.

    Raises:
        ModelRejected: none is left, or a link leaves the repository.
    """
    name = config.default_model_filename or _DEFAULT_FILE
    if "/" in name or "\\" in name:
        raise ModelRejected(f"default_model_filename: expected a file name, got {name[:128]!r}")
    files: dict[int, Path] = {}
    warnings = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name in _OTHER_FOLDERS or not entry.is_dir():
            continue
        if _NUMBER.fullmatch(entry.name) is None:
            warnings.append(f"{entry.name[:128]!r} is no version, expected {_EXPECTED}; ignored")
            continue
        file = _model_file(folder, f"{entry.name}/{name}", root)
        if file is None:
            warnings.append(f"version {entry.name} has no {name!r}; ignored")
        else:
            files[int(entry.name)] = file
    if not files:
        raise ModelRejected(f"expected a folder for each version, such as '1/{name}'; found none")
    chosen, missing = _choose(sorted(files), config.version_policy)
    if missing:
        warnings.append(f"version_policy.specific names versions that do not exist: {_listed(missing)}")
    if not chosen:
        raise ModelRejected(f"version_policy.specific names no version that exists; there are {_listed(sorted(files))}")
    return Versions({number: files[number] for number in chosen}, tuple(warnings))


def _model_file(folder: Path, name: str, root: Path) -> Path | None:
    """The ONNX file; a folder of that name holds it beside its external data."""
    path = confine(folder, name, within=root)
    if path.is_dir():
        path = confine(folder, f"{name}/{_DEFAULT_FILE}", within=root)
    return path if path.is_file() else None


def _choose(numbers: list[int], policy: ModelVersionPolicy) -> tuple[list[int], list[int]]:
    """The version numbers that the policy asks for, and those that it asks for in vain; the newest one by default."""
    match policy.WhichOneof("policy_choice"):
        case "all":
            return numbers, []
        case "specific":
            wanted = sorted(set(policy.specific.versions))
            return [n for n in wanted if n in numbers], [n for n in wanted if n not in numbers]
        case _:
            return numbers[-(policy.latest.num_versions or 1) :], []


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
