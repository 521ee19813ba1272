"""Takes over models from Triton's layout: every numbered version N becomes N.0.0."""

from collections.abc import Sequence
from pathlib import Path

from serinus.config.importing import ImportedVersion, Locations, add_file, bundle_of, checked_file
from serinus.config.models import ModelOptions, ModelSpec, WarmUpInput, WarmUpSample
from serinus.config.triton_repository import read_every_version
from serinus.config.version_facts import ServingOptions, VersionFacts
from serinus.core.artifact import check_artifact_path
from serinus.core.errors import InvalidInput, ModelRejected

_WARM_UP = "warmup"


def import_triton_model(folder: Path, *, within: Path, locations: Locations) -> tuple[ImportedVersion, ...]:
    """The versions of one model, ascending.

    Args:
        folder: `<model>`, with a folder for each version, and maybe `config.pbtxt`.
        within: The folder that no file may lie outside of; `folder` or one around it.
        locations: Reads where the tensors of an ONNX file are that are not in it.

    Raises:
        InvalidInput: no model can have this name.
        ModelRejected: it cannot be served, or one of its files is missing or lies elsewhere.
    """
    found = read_every_version(folder.parent, folder.name)
    ignored = tuple(warning.removeprefix(f"{folder.name}: ") for warning in found.warnings)
    samples, data = _samples(found.spec, folder / _WARM_UP)
    versions = []
    for number, file in sorted(found.spec.versions.items()):
        main, files = bundle_of(file, within=within, locations=locations)
        for path, warm_up in data.items():
            add_file(files, path, checked_file(warm_up, within=within))
        facts = VersionFacts(tags={"imported_from": "triton"}, serving=_serving(found.spec, samples))
        version = found.spec.model_version(number).version
        versions.append(ImportedVersion(found.spec.name, version, main, files, facts, ignored))
    return tuple(versions)


def _serving(spec: ModelSpec, samples: Sequence[WarmUpSample]) -> ServingOptions:
    said = {key: getattr(spec, key) for key in ModelOptions.model_fields if key in spec.model_fields_set}
    return ServingOptions.model_validate(said | ({"warm_up": tuple(samples)} if samples else {}))


def _samples(spec: ModelSpec, folder: Path) -> tuple[list[WarmUpSample], dict[str, Path]]:
    """The warm-up calls with their files named as in the bundle, and these files."""
    files: dict[str, Path] = {}

    def bundled(described: WarmUpInput) -> WarmUpInput:
        if described.file is None:
            return described
        path = f"{_WARM_UP}/{described.file.relative_to(folder).as_posix()}"
        try:
            check_artifact_path(path)
        except InvalidInput as error:
            raise ModelRejected(f"model_warmup: {error.message}") from error
        files[path] = described.file
        return described.model_copy(update={"file": Path(path)})

    samples = [
        sample.model_copy(update={"inputs": {name: bundled(one) for name, one in sample.inputs.items()}})
        for sample in spec.warm_up
    ]
    return samples, files
