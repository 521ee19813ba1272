"""Takes over a model from the folder that MLflow writes, without MLflow: its `MLmodel`, its ONNX file, nothing else.

The other flavours and the environment are code, or descriptions of code; they are named as ignored and never opened.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from serinus.config.confined import confine, read_text
from serinus.config.errors import ConfigError
from serinus.config.importing import DEFAULT_MAIN, ImportedVersion, Locations, bundle_of
from serinus.config.models import LAST_VERSION_NUMBER
from serinus.config.version_facts import MOST_TAGS, Line, ServingOptions, TagName, Text, VersionFacts
from serinus.config.yaml_text import read_yaml
from serinus.core.errors import InvalidInput, ModelRejected
from serinus.core.version import Version, check_model_name

MLMODEL = "MLmodel"

_LONGEST_BYTES = 1 << 20
_REGISTERED = "registered_model_meta"  # beside a model that was downloaded from a registry
_FLAVOR = "onnx"
_NUMBER = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_NO_NAME = re.compile(r"[^a-z0-9._-]+", re.ASCII)
_MOST_NAMED = 32
# Keys of `MLmodel` that become tags, so that one finds the run again.
_TAGS = {
    "run_id": "mlflow.run_id",
    "model_id": "mlflow.model_id",
    "model_uuid": "mlflow.model_uuid",
    "mlflow_version": "mlflow.version",
    "utc_time_created": "mlflow.created_at",
}
# Keys that are acted on, or say nothing that the files do not say better.
_KNOWN = frozenset({
    "artifact_path", "flavors", "metadata", "signature", "model_size_bytes", "is_signature_from_type_hint",
    "type_hint_from_example", "saved_input_example_info",
})  # fmt: skip
_FLAVOR_KNOWN = frozenset({"data", "onnx_version", "providers", "onnx_session_options"})
_PROVIDERS = ["CUDAExecutionProvider", "CPUExecutionProvider"]  # what MLflow writes when nobody said anything
_REVISION = "mlflow.source.git.commit"

_TEXT: TypeAdapter[str] = TypeAdapter(Text)
_LINE: TypeAdapter[str] = TypeAdapter(Line)
_TAG_NAME: TypeAdapter[str] = TypeAdapter(TagName)


def import_mlflow_model(folder: Path, *, locations: Locations) -> ImportedVersion:
    """The model in `folder`, under the name and number of MLflow's registry, or else as 1.0.0 under the folder's name.

    Args:
        folder: Has the file `MLmodel`; no file may lie outside of it.
        locations: Reads where the tensors of an ONNX file are that are not in it.

    Raises:
        ModelRejected: it has no ONNX flavour, cannot be read, or one of its files is missing or lies elsewhere.
    """
    document = _mapping(folder, MLMODEL)
    flavors = _table(document.get("flavors"))
    if _FLAVOR not in flavors:
        raise ModelRejected(f"{MLMODEL}: expected the flavour 'onnx', got {', '.join(map(repr, flavors)) or 'none'}")
    flavor = _table(flavors[_FLAVOR])
    main, files = bundle_of(_model_file(folder, flavor), within=folder, locations=locations)
    taken = _Taken(document, flavor)
    facts = VersionFacts(
        description=taken.description,
        framework=taken.framework,
        code_revision=taken.code_revision,
        tags=taken.tags,
        serving=taken.serving,
    )
    name, version = _identity(folder, document)
    left = (*_bounded(taken.ignored), *_bounded(_other_flavors(flavors)), *_bounded(_other_files(folder, files)))
    return ImportedVersion(name, version, main, files, facts, left)


class _Taken:
    """What of an `MLmodel` is taken over, and what is not."""

    def __init__(self, document: Mapping[str, object], flavor: Mapping[str, object]) -> None:
        self.tags = {"imported_from": "mlflow"}
        self.description = ""
        self.code_revision = ""
        self.ignored: list[str] = []
        release = flavor.get("onnx_version")
        framework = f"onnx {release}"
        self.framework = framework if release and isinstance(release, str) and _fits(_LINE, framework) else "onnx"
        for key, value in document.items():
            if key in _TAGS:
                self._tag(key, _TAGS[key], value)
            elif key not in _KNOWN and _is_said(value):
                self.ignored.append(key)
        self._metadata(_table(document.get("metadata")))
        if _is_said(_table(document.get("signature")).get("params")):
            self.ignored.append("signature.params: an ONNX model has no other inputs than its tensors")
        self.serving = self._serving(flavor)

    def _metadata(self, metadata: Mapping[str, object]) -> None:
        for key, value in metadata.items():
            place = f"metadata.{key[:64]}"
            if key == "description" and _fits(_TEXT, value):
                self.description = str(value)
            elif key == _REVISION and _fits(_LINE, value):
                self.code_revision = str(value)
            else:
                self._tag(place, key, value)

    def _tag(self, place: str, name: str, value: object) -> None:
        if _fits(_TAG_NAME, name) and _fits(_LINE, value) and name not in self.tags and len(self.tags) < MOST_TAGS:
            self.tags[name] = str(value)
        elif _is_said(value):
            self.ignored.append(place)

    def _serving(self, flavor: Mapping[str, object]) -> ServingOptions:
        self.ignored.extend(
            f"flavors.onnx.{key}" for key in flavor if key not in _FLAVOR_KNOWN and _is_said(flavor[key])
        )
        providers = flavor.get("providers")
        if _is_said(providers) and providers != _PROVIDERS:
            self.ignored.append("flavors.onnx.providers: the server's configuration says where models run")
        said: dict[str, object] = {}
        for key, value in _table(flavor.get("onnx_session_options")).items():
            if key == "intra_op_num_threads" and isinstance(value, str) and _NUMBER.fullmatch(value):
                said["intra_op_threads"] = value
            elif _is_said(value):
                self.ignored.append(f"flavors.onnx.onnx_session_options.{key[:64]}")
        try:
            return ServingOptions.model_validate(said)
        except ValidationError:
            self.ignored.append("flavors.onnx.onnx_session_options.intra_op_num_threads")
            return ServingOptions()


def _model_file(folder: Path, flavor: Mapping[str, object]) -> Path:
    data = flavor.get("data") or DEFAULT_MAIN
    if not isinstance(data, str):
        raise ModelRejected(f"{MLMODEL}: flavors.onnx.data: expected a path")
    file = confine(folder, data, within=folder)
    return file / DEFAULT_MAIN if file.is_dir() else file


def _identity(folder: Path, document: Mapping[str, object]) -> tuple[str, Version]:
    registered = _mapping(folder, _REGISTERED) if (folder / _REGISTERED).exists() else {}
    number = registered.get("model_version")
    version = Version(int(number)) if isinstance(number, str) and _NUMBER.fullmatch(number) else Version(1)
    assert version.major <= LAST_VERSION_NUMBER, "this is a bug: nine digits are no more"
    artifact_path = document.get("artifact_path")
    # MLflow 3 writes an URL there, whose last part is always the same.
    is_url = not isinstance(artifact_path, str) or ":" in artifact_path
    candidates = (registered.get("model_name"), None if is_url else artifact_path, folder.name)
    for candidate in candidates:
        if isinstance(candidate, str) and (name := _name(PurePosixPath(candidate).name)):
            return name, version
    raise ModelRejected(f"expected a folder whose name can name a model, got {folder.name[:128]!r}")


def _name(text: str) -> str:
    """`text` as a model's name, or "" if nothing of it can be."""
    name = _NO_NAME.sub("-", text.lower()).strip("-._")
    try:
        return check_model_name(name)
    except InvalidInput:
        return ""


def _other_flavors(flavors: Mapping[str, object]) -> list[str]:
    return [f"flavors.{name[:64]}" for name in flavors if name != _FLAVOR]


def _other_files(folder: Path, files: Mapping[str, Path]) -> list[str]:
    taken = {folder / MLMODEL, folder / _REGISTERED, *files.values()}
    parents = {parent for file in files.values() for parent in file.parents}
    try:
        others = sorted(entry for entry in folder.iterdir() if entry not in taken and entry not in parents)
    except OSError as error:
        raise ModelRejected(f"the folder cannot be read: {error.strerror}") from error
    return [f"{entry.name[:128]}/" if entry.is_dir() else entry.name[:128] for entry in others]


def _bounded(names: list[str]) -> list[str]:
    return [*names[:_MOST_NAMED], f"and {len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else names


def _mapping(folder: Path, name: str) -> Mapping[str, object]:
    try:
        document = read_yaml(read_text(folder, name), longest_bytes=_LONGEST_BYTES)
    except ConfigError as error:
        raise ModelRejected(f"{name}: {error}") from error
    if not isinstance(document, dict):
        raise ModelRejected(f"{name}: expected keys with values")
    return document


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _is_said(value: object) -> bool:
    return value is not None and value not in ("", [], {})


def _fits(kind: TypeAdapter[str], value: object) -> bool:
    try:
        kind.validate_python(value)
    except ValidationError:
        return False
    return True
