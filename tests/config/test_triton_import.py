from pathlib import Path

import pytest

from serinus.config.importing import ImportedVersion
from serinus.config.models import BatchingSpec, WarmUpInput, WarmUpSample
from serinus.config.triton_import import import_triton_model
from serinus.config.version_facts import ServingOptions, VersionFacts, dump_version_facts, parse_version_facts
from serinus.core.dtypes import DType
from serinus.core.errors import InvalidInput, ModelRejected
from serinus.core.version import Version
from tests.config.written_models import write_onnx, written_locations

CONFIG = """
max_batch_size: 8
version_policy { latest { num_versions: 1 } }
response_cache { enable: true }
output [ { name: "y" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" } ]
model_warmup [ {
  name: "typical" batch_size: 1
  inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 4 ] input_data_file: "typical/x.raw" } }
  inputs { key: "z" value { data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } }
} ]
"""


def imported(folder: Path, within: Path | None = None) -> tuple[ImportedVersion, ...]:
    return import_triton_model(folder, within=within or folder, locations=written_locations)


def write_model(folder: Path, config: str = "", **weights: str) -> Path:
    """A model with versions such as v1="names of weights"."""
    for version, names in weights.items():
        write_onnx(folder / version.removeprefix("v") / "model.onnx", names)
    if config:
        (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    return folder


def test_every_version_is_taken_over(tmp_path):
    """With its weights, the configuration's options, labels and warm-up files, and what is ignored named."""
    folder = write_model(tmp_path / "resnet", CONFIG, v1="", v10="w/a.bin b.bin")
    (folder / "10/w").mkdir()
    for name in ("10/w/a.bin", "10/b.bin", "labels.txt", "warmup/typical/x.raw"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("cat\ndog\n", encoding="utf-8")
    serving = ServingOptions.model_validate(
        {
            "batching": BatchingSpec(max_rows=8),
            "batch_axes": {"y": 0},
            "max_batch_size": 8,
            "outputs": [{"name": "y", "dtype": "FP32", "dims": [2]}],
            "labels": {"y": ["cat", "dog"]},
            "warm_up": [
                WarmUpSample(
                    name="typical",
                    inputs={
                        "x": WarmUpInput(dtype=DType.FP32, dims=(4,), fill="file", file=Path("warmup/typical/x.raw")),
                        "z": WarmUpInput(dtype=DType.FP32, dims=(4,)),
                    },
                )
            ],
        }
    )
    facts = VersionFacts(tags={"imported_from": "triton"}, serving=serving)
    ignored = (
        "the configuration sets what is ignored here: response_cache.enable",
        "version_policy is ignored: every version is taken",
    )
    warm_up = {"warmup/typical/x.raw": folder / "warmup/typical/x.raw"}
    first = {"model.onnx": folder / "1/model.onnx"}
    second = {
        "model.onnx": folder / "10/model.onnx",
        "w/a.bin": folder / "10/w/a.bin",
        "b.bin": folder / "10/b.bin",
    }
    assert imported(folder) == (
        ImportedVersion("resnet", Version(1), "model.onnx", first | warm_up, facts, ignored),
        ImportedVersion("resnet", Version(10), "model.onnx", second | warm_up, facts, ignored),
    )
    assert parse_version_facts(dump_version_facts(facts)) == facts


def test_a_model_without_a_configuration_has_no_options(tmp_path):
    """The model file alone says what it is."""
    folder = write_model(tmp_path / "m", v3="")
    (version,) = imported(folder)
    assert version == ImportedVersion(
        model="m",
        version=Version(3),
        main="model.onnx",
        files={"model.onnx": folder / "3/model.onnx"},
        facts=VersionFacts(tags={"imported_from": "triton"}),
        ignored=(),
    )


def test_what_is_no_version_is_named(tmp_path):
    """And does not keep the others from being taken over."""
    folder = write_model(tmp_path / "m", v1="", v02="", vnext="")
    (version,) = imported(folder)
    assert version.ignored == (
        "'02' is no version, expected a whole number from 1 to 999999999; ignored",
        "'next' is no version, expected a whole number from 1 to 999999999; ignored",
    )


def test_a_folder_that_can_name_no_model_is_refused(tmp_path):
    """Triton allows more names than this server."""
    with pytest.raises(InvalidInput, match="invalid model name 'ResNet'"):
        imported(write_model(tmp_path / "ResNet", v1=""))


def test_a_model_that_cannot_be_served_is_refused(tmp_path):
    """Here as in a repository that is served."""
    with pytest.raises(ModelRejected, match="got platform 'tensorrt_plan'"):
        imported(write_model(tmp_path / "m", 'platform: "tensorrt_plan"', v1=""))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("../2/w.bin", "external data '../2/w.bin': expected names of letters, digits and ._+- with '/' between them"),
        ("w.bin", "'w.bin' is missing"),
        ("model.onnx", None),
    ],
)
def test_weights_that_are_not_there_are_refused(tmp_path, weights, message):
    """A version's files lie in its own folder."""
    folder = write_model(tmp_path / "m", v1=weights)
    if message is None:
        assert list(imported(folder)[0].files) == ["model.onnx"]
        return
    with pytest.raises(ModelRejected) as refused:
        imported(folder)
    assert refused.value.message == message


def test_links_are_followed_as_far_as_the_folder_goes(tmp_path):
    """A repository may share files between its models; a model alone may not reach beyond itself."""
    write_model(tmp_path / "shared", v1="")
    folder = tmp_path / "m"
    (folder / "1").mkdir(parents=True)
    (folder / "1/model.onnx").symlink_to(tmp_path / "shared/1/model.onnx")
    assert len(imported(folder, within=tmp_path)) == 1
    with pytest.raises(ModelRejected) as refused:
        imported(folder)
    assert refused.value.message == "'model.onnx' is a link to a place where this model may not read"


def test_a_warm_up_file_that_would_take_the_place_of_weights_is_refused(tmp_path):
    """Both would lie at one place of the bundle."""
    folder = write_model(tmp_path / "m", CONFIG.replace("typical/x.raw", "x.raw"), v1="warmup/x.raw")
    for name in ("1/warmup/x.raw", "warmup/x.raw", "labels.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    with pytest.raises(ModelRejected) as refused:
        imported(folder)
    assert refused.value.message == "two files would be 'warmup/x.raw'"


def test_a_warm_up_file_whose_name_no_bundle_can_have_is_refused(tmp_path):
    """Renaming it is one command; guessing a name is not the importer's."""
    folder = write_model(tmp_path / "m", CONFIG.replace("typical/x.raw", "my x.raw"), v1="")
    (folder / "warmup").mkdir()
    (folder / "warmup/my x.raw").touch()
    (folder / "labels.txt").touch()
    with pytest.raises(ModelRejected, match=r"model_warmup: invalid path 'warmup/my x\.raw' in a bundle"):
        imported(folder)
