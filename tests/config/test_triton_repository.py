from pathlib import Path

import pytest

from serinus.config.errors import ConfigError
from serinus.config.models import BatchingSpec, ModelSpec
from serinus.config.triton_repository import FoundModel, Repository, read_model, read_repository
from serinus.config.triton_text import parse_config_json
from serinus.core.errors import InvalidInput, ModelRejected, NotFound


def test_a_folder_without_a_configuration_is_a_model(make_model, tmp_path):
    """The layout alone is enough: the newest version, everything else by default."""
    folder = make_model("magika", versions=(1, 3, 2))
    (folder / "README.md").touch()
    (folder / ".cache").mkdir()
    assert read_repository(tmp_path / "repository") == Repository(
        models=(ModelSpec(name="magika", versions={3: folder / "3/model.onnx"}),), warnings=(), rejected={}
    )


def test_broken_models_are_rejected_and_the_others_found(make_model, tmp_path):
    """One sentence each, without paths, and nobody else is hurt."""
    root = tmp_path / "repository"
    good = make_model("good")
    make_model("bad-text", 'name: "bad-text"\nmax_batch: 8')
    make_model("bad-name", 'name: "other"')
    make_model("bad-platform", 'platform: "tensorrt_plan"')
    make_model("bad-backend", 'backend: "python"')
    make_model("ensemble", "ensemble_scheduling { }")
    make_model("no-version", versions=())
    make_model("ResNet")
    (tmp_path / "outside/1").mkdir(parents=True)
    (tmp_path / "outside/1/model.onnx").touch()
    (root / "link-out").symlink_to(tmp_path / "outside")
    (root / "link-loop").symlink_to(root / "link-loop")
    make_model("version-out", versions=())
    (root / "version-out/1").symlink_to(tmp_path / "outside/1")
    make_model("config-out")
    (root / "config-out/config.pbtxt").symlink_to("/etc/hostname")
    make_model("not-text")
    (root / "not-text/config.pbtxt").write_bytes(b"\xff")
    (root / ".git").mkdir()
    (root / "README.md").touch()

    found = read_repository(root)
    assert found.models == (ModelSpec(name="good", versions={1: good / "1/model.onnx"}),)
    assert found.warnings == ("'README.md' is not a folder; ignored", "'link-loop' is not a folder; ignored")
    assert found.rejected == {
        "ResNet": "invalid model name 'ResNet': expected [a-z0-9][a-z0-9._-]{0,127} without '..'",
        "bad-backend": (
            "expected platform 'onnxruntime_onnx' or backend 'onnxruntime', got platform '' and backend 'python'"
        ),
        "bad-name": "name: expected 'bad-name' like its folder, or nothing; got 'other'",
        "bad-platform": (
            "expected platform 'onnxruntime_onnx' or backend 'onnxruntime', got platform 'tensorrt_plan' and backend ''"
        ),
        "bad-text": (
            'config.pbtxt cannot be parsed: 2:1 : Message type "inference.ModelConfig" has no field named "max_batch".'
        ),
        "config-out": "'config.pbtxt' is a link to a place where this model may not read",
        "ensemble": "expected one ONNX model, got an ensemble (ensemble_scheduling)",
        "link-out": "'link-out' is a link that leaves the repository",
        "no-version": "expected a folder for each version, such as '1/model.onnx'; found none",
        "not-text": "'config.pbtxt' is not UTF-8 text",
        "version-out": "'1/model.onnx' is a link to a place where this model may not read",
    }
    assert not any(str(tmp_path) in reason for reason in found.rejected.values())


def test_links_inside_the_repository_are_followed(make_model, tmp_path):
    """Models may share files, and the repository itself may be a link."""
    make_model("shared", versions=(1,))
    make_model("user", versions=())
    (tmp_path / "repository/user/7").symlink_to("../shared/1")
    (tmp_path / "link").symlink_to("repository")
    found = read_repository(tmp_path / "link")
    assert [list(spec.versions) for spec in found.models] == [[1], [7]]
    assert found.rejected == {}


@pytest.mark.parametrize(("name", "reason"), [("no", "No such file or directory"), ("file", "Not a directory")])
def test_a_repository_that_is_no_folder_is_refused(tmp_path, name, reason):
    """The operator named it, so the sentence has its path."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        read_repository(tmp_path / name)
    assert caught.value.problems == (f"model_repository: {str(tmp_path / name)!r} cannot be read: {reason}",)


def test_one_model_is_read_again(make_model, tmp_path):
    """What an explicit load sees is what lies there now."""
    folder = make_model("m", "max_batch_size: 4 response_cache { enable: true }")
    assert read_model(tmp_path / "repository", "m") == FoundModel(
        spec=ModelSpec(
            name="m",
            versions={1: folder / "1/model.onnx"},
            batching=BatchingSpec(max_rows=4),
            max_batch_size=4,
        ),
        warnings=("m: the configuration sets what is ignored here: response_cache.enable",),
    )
    (folder / "config.pbtxt").unlink()
    assert read_model(tmp_path / "repository", "m").spec == ModelSpec(name="m", versions={1: folder / "1/model.onnx"})


def test_an_override_counts_in_place_of_the_file(make_model, tmp_path):
    """The file is not even read."""
    make_model("m", "broken", versions=(1, 2))
    override = parse_config_json('{"maxBatchSize": 2, "version_policy": {"all": {}}}')
    spec = read_model(tmp_path / "repository", "m", override).spec
    assert (spec.max_batch_size, list(spec.versions)) == (2, [1, 2])


@pytest.mark.parametrize(
    ("name", "error"),
    [("other", NotFound), ("file", NotFound), ("../m", InvalidInput), ("/m", InvalidInput), ("", InvalidInput)],
)
def test_a_name_that_is_not_in_the_repository_is_not_read(make_model, tmp_path, name, error):
    """A client's name never leads out of the repository."""
    make_model("m")
    (tmp_path / "repository/file").touch()
    with pytest.raises(error):
        read_model(tmp_path / "repository", name)


def test_a_folder_that_cannot_be_read_is_one_sentence(make_model, tmp_path):
    """Not a traceback, and not the path."""
    make_model("m", f'default_model_filename: "{"x" * 300}"')
    with pytest.raises(ModelRejected) as caught:
        read_model(tmp_path / "repository", "m")
    assert caught.value.message == "the folder of 'm' cannot be read: File name too long"


def test_a_file_name_that_climbs_is_rejected(make_model, tmp_path):
    """A configuration cannot name files outside its versions."""
    make_model("m", 'default_model_filename: "../../other/1/model.onnx"')
    with pytest.raises(ModelRejected) as caught:
        read_model(tmp_path / "repository", "m")
    assert caught.value.message == "default_model_filename: expected a file name, got '../../other/1/model.onnx'"


def test_other_file_names_and_folders_of_files_are_found(make_model, tmp_path):
    """`default_model_filename` counts, and a folder of that name holds the model beside its external data."""
    folder = make_model("m", 'default_model_filename: "net.onnx" version_policy { all { } }', versions=())
    (folder / "1").mkdir()
    (folder / "1/net.onnx").touch()
    (folder / "2/net.onnx").mkdir(parents=True)
    (folder / "2/net.onnx/model.onnx").touch()
    assert read_model(tmp_path / "repository", "m").spec.versions == {
        1: folder / "1/net.onnx",
        2: folder / "2/net.onnx/model.onnx",
    }


def test_a_repository_read_twice_is_the_same(make_model):
    """Reading changes nothing and depends on nothing but the folder."""
    root = Path(make_model("a", "max_batch_size: 2")).parent
    make_model("b")
    assert read_repository(root) == read_repository(root)
