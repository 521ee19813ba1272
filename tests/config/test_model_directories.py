import pytest

from serinus.config.errors import ConfigError
from serinus.config.importing import FoundVersions
from serinus.config.model_directories import find_models
from tests.config.written_models import MLFLOW_1, MLFLOW_2, SKLEARN, write_mlflow, write_onnx, written_locations


def found(directory) -> FoundVersions:
    return find_models(directory, locations=written_locations)


def names(versions: FoundVersions) -> list[str]:
    return [f"{each.model}@{each.version}" for each in versions.versions]


def test_an_mlflow_model_is_known_by_its_file(tmp_path):
    """Its own folders are no models."""
    write_mlflow(tmp_path / "m", MLFLOW_2, files=["1/model.onnx"])
    everything = found(tmp_path / "m")
    assert (names(everything), everything.ignored, everything.rejected) == (["clf@1.0.0"], (), {})


@pytest.mark.parametrize("config", [None, ""])
def test_a_triton_model_is_known_by_its_versions_or_its_configuration(tmp_path, config):
    """Its name is the folder's, also where the folder is named by a link or by a dot."""
    write_onnx(tmp_path / "m/2/model.onnx")
    if config is not None:
        (tmp_path / "m/config.pbtxt").write_text(config, encoding="utf-8")
    (tmp_path / "link").symlink_to("m")
    assert (
        names(found(tmp_path / "m"))
        == names(found(tmp_path / "link"))
        == names(found(tmp_path / "m/2/.."))
        == ["m@2.0.0"]
    )


def test_a_folder_of_models_is_read_model_by_model(tmp_path):
    """Of either kind; what is broken or something else does not keep the others from being found."""
    write_onnx(tmp_path / "b/1/model.onnx")
    write_onnx(tmp_path / "b/10/model.onnx")
    write_onnx(tmp_path / "b/9/model.onnx")
    write_mlflow(tmp_path / "a", MLFLOW_1)
    write_mlflow(tmp_path / "sklearn", SKLEARN)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.md").touch()
    everything = found(tmp_path)
    assert names(everything) == ["b@1.0.0", "b@9.0.0", "b@10.0.0", "onnx-model@1.0.0"]
    assert everything.ignored == ("README.md",)
    assert everything.rejected == {
        "empty": "expected a folder for each version, such as '1/model.onnx'; found none",
        "sklearn": "MLmodel: expected the flavour 'onnx', got 'python_function', 'sklearn'",
    }


def test_a_version_that_two_folders_hold_is_taken_once(tmp_path):
    """The other one is named: it may be another model."""
    write_mlflow(tmp_path / "a", MLFLOW_1)
    write_mlflow(tmp_path / "b", MLFLOW_1)
    everything = found(tmp_path)
    assert names(everything) == ["onnx-model@1.0.0"]
    assert everything.rejected == {"b": "onnx-model@1.0.0 is in another folder as well"}


def test_a_link_that_leaves_the_folder_is_not_followed(tmp_path):
    """Not even to a model."""
    write_mlflow(tmp_path / "outside", MLFLOW_1)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/a").symlink_to(tmp_path / "outside")
    everything = found(tmp_path / "models")
    assert names(everything) == []
    assert everything.rejected == {"a": "'a' is a link that leaves the folder"}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none", "cannot be read: No such file or directory"),
        ("file", "cannot be read: Not a directory"),
        ("empty", ": expected an MLflow model, a Triton model, or folders of them"),
    ],
)
def test_a_place_without_models_is_refused(tmp_path, name, problem):
    """The operator named it, so the sentence has its path."""
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as refused:
        found(tmp_path / name)
    joint = "" if problem.startswith(":") else " "
    assert refused.value.problems == (f"{str(tmp_path / name)!r}{joint}{problem}",)
