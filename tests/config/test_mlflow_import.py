from pathlib import Path

import pytest

from serinus.config.importing import ImportedVersion
from serinus.config.mlflow_import import import_mlflow_model
from serinus.config.version_facts import ServingOptions, VersionFacts, dump_version_facts, parse_version_facts
from serinus.core.errors import ModelRejected
from serinus.core.version import Version
from tests.config.written_models import (
    ENVIRONMENT,
    MLFLOW_1,
    MLFLOW_2,
    MLFLOW_3,
    REGISTERED,
    SKLEARN,
    write_mlflow,
    write_onnx,
    written_locations,
)

OBJECT = "tag:yaml.org,2002:python/object"
DATA = "514fc7f2-e602-11f1-98a9-02fc00000001.data"


def imported(folder: Path) -> ImportedVersion:
    return import_mlflow_model(folder, locations=written_locations)


def refusal(folder: Path) -> str:
    with pytest.raises(ModelRejected) as refused:
        imported(folder)
    assert str(folder.parent) not in refused.value.message
    return refused.value.message


def test_a_model_of_mlflow_2_is_taken_over(tmp_path):
    """Its name, its weights and where it came from; code and environments are named and not opened."""
    folder = write_mlflow(tmp_path / "any", MLFLOW_2, weights=DATA, files=[DATA, "code/helper.py"])
    assert imported(folder) == ImportedVersion(
        model="clf",
        version=Version(1),
        main="model.onnx",
        files={"model.onnx": folder / "model.onnx", DATA: folder / DATA},
        facts=VersionFacts(
            framework="onnx 1.23.2",
            tags={
                "imported_from": "mlflow",
                "mlflow.version": "2.22.5",
                "mlflow.model_uuid": "f99e9939a9d9448682f9dc5e18ddffa0",
                "mlflow.run_id": "a5af6d8c5e484634b3535aa9309f2460",
                "mlflow.created_at": "2026-11-21 23:21:19.634666",
                "k": "v",
            },
        ),
        ignored=(
            "signature.params: an ONNX model has no other inputs than its tensors",
            "flavors.python_function",
            "code/",
            *ENVIRONMENT,
        ),
    )


def test_a_model_of_mlflow_3_is_taken_over(tmp_path):
    """Under the name and number that its registry gave it, with what its metadata say."""
    examples = ["input_example.json", "serving_input_example.json"]
    folder = write_mlflow(tmp_path / "any", MLFLOW_3, registered=REGISTERED, files=examples)
    assert imported(folder) == ImportedVersion(
        model="fraud-classifier",
        version=Version(3),
        main="model.onnx",
        files={"model.onnx": folder / "model.onnx"},
        facts=VersionFacts(
            description="Tells fraud from honest payments.",
            framework="onnx 1.23.2",
            code_revision="0123456",
            tags={
                "imported_from": "mlflow",
                "mlflow.version": "3.17.2",
                "mlflow.model_id": "m-5793fa01e46244e5966a1816e9ba54b6",
                "mlflow.model_uuid": "m-5793fa01e46244e5966a1816e9ba54b6",
                "mlflow.run_id": "99efbbea44894427a4b64a0d3db6c582",
                "mlflow.created_at": "2026-11-21 23:21:45.369956",
                "team": "fraud",
            },
            serving=ServingOptions(intra_op_threads=2),
        ),
        ignored=(
            "metadata.nested",
            "flavors.onnx.providers: the server's configuration says where models run",
            "flavors.onnx.onnx_session_options.execution_mode",
            "flavors.python_function",
            *sorted([*ENVIRONMENT, *examples]),
        ),
    )


def test_a_model_of_mlflow_1_is_taken_over(tmp_path):
    """With as little as it says."""
    found = imported(write_mlflow(tmp_path / "any", MLFLOW_1))
    assert (found.model, found.version, list(found.files)) == ("onnx-model", Version(1), ["model.onnx"])
    assert found.facts.framework == "onnx 1.9.0"
    assert found.ignored == ("flavors.python_function", *ENVIRONMENT)


def test_the_facts_can_be_registered(tmp_path):
    """They travel as YAML."""
    facts = imported(write_mlflow(tmp_path / "any", MLFLOW_3)).facts
    assert parse_version_facts(dump_version_facts(facts)) == facts


@pytest.mark.parametrize(
    ("mlmodel", "registered", "folder", "name", "version"),
    [
        ("flavors: {onnx: {}}", "", "resnet-50", "resnet-50", "1.0.0"),
        ("flavors: {onnx: {}}", "", "My Model (v2)", "my-model-v2", "1.0.0"),
        ("flavors: {onnx: {}}\nartifact_path: models/Deep", "", "any", "deep", "1.0.0"),
        ("flavors: {onnx: {}}\nartifact_path: ''", "", "any", "any", "1.0.0"),
        ("flavors: {onnx: {}}\nartifact_path: s3://x/y", "", "any", "any", "1.0.0"),
        ("flavors: {onnx: {}}", "model_name: main.fraud.Clf\nmodel_version: 12", "any", "main.fraud.clf", "12.0.0"),
        ("flavors: {onnx: {}}", "model_name: '???'\nmodel_version: 0", "any", "any", "1.0.0"),
        ("flavors: {onnx: {}}", "model_version: [3]", "any", "any", "1.0.0"),
        ("flavors: {onnx: {}}", "model_version: 1000000000", "any", "any", "1.0.0"),
    ],
)
def test_a_model_has_a_name_that_fits(tmp_path, mlmodel, registered, folder, name, version):
    """Of MLflow's registry, of the artifact, or of the folder, whichever can be one."""
    found = imported(write_mlflow(tmp_path / folder, mlmodel, registered=registered))
    assert (found.model, str(found.version)) == (name, version)


def test_a_folder_that_can_name_no_model_is_refused(tmp_path):
    """The sentence says where to mend it."""
    message = refusal(write_mlflow(tmp_path / "???", "flavors: {onnx: {}}"))
    assert message == "expected a folder whose name can name a model, got '???'"


@pytest.mark.parametrize(
    ("mlmodel", "message"),
    [
        (SKLEARN, "MLmodel: expected the flavour 'onnx', got 'python_function', 'sklearn'"),
        ("", "MLmodel: expected keys with values"),
        ("- a", "MLmodel: expected keys with values"),
        ("a: 1", "MLmodel: expected the flavour 'onnx', got none"),
        ("flavors: [onnx]", "MLmodel: expected the flavour 'onnx', got none"),
        ("flavors: {onnx: {data: [x]}}", "MLmodel: flavors.onnx.data: expected a path"),
        ("flavors: {onnx: {data: ../x}}", "expected a file name inside the model's folder, got '../x'"),
        ("flavors: {onnx: {data: /etc/passwd}}", "expected a file name inside the model's folder, got '/etc/passwd'"),
        ("flavors: {onnx: {data: other.onnx}}", "'other.onnx' is missing"),
        ("flavors: {onnx: {data: link.onnx}}", "'link.onnx' is a link to a place where this model may not read"),
        ("a: [", "MLmodel: cannot be read as YAML at line 2, column 1"),
        (
            "a: !!python/object [ls]",
            f"MLmodel: cannot be read as YAML: expected no tag, got '{OBJECT}' at line 1, column 4",
        ),
    ],
)
def test_a_folder_without_an_onnx_model_is_refused(tmp_path, mlmodel, message):
    """Nothing but an ONNX file is ever opened."""
    folder = write_mlflow(tmp_path / "any", mlmodel)
    (tmp_path / "outside.onnx").touch()
    (folder / "link.onnx").symlink_to(tmp_path / "outside.onnx")
    assert refusal(folder) == message


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("missing.bin", "'missing.bin' is missing"),
        ("code", "'code' is missing"),
        ("link.bin", "'link.bin' is a link to a place where this model may not read"),
        ("up/w.bin", "'up/w.bin' is a link to a place where this model may not read"),
        ("../w.bin", "external data '../w.bin': expected names of letters, digits and ._+- with '/' between them"),
        (
            "/etc/passwd",
            "external data '/etc/passwd': expected names of letters, digits and ._+- with '/' between them",
        ),
        ("a:b", "external data 'a:b': expected names of letters, digits and ._+- with '/' between them"),
    ],
)
def test_weights_outside_of_the_folder_are_refused(tmp_path, weights, message):
    """However they are named."""
    folder = write_mlflow(tmp_path / "any", MLFLOW_1, weights=weights, files=["code/x.py"])
    (tmp_path / "w.bin").touch()
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    (folder / "up").symlink_to(tmp_path)
    assert refusal(folder) == message


def test_weights_lie_beside_the_model_or_below_it(tmp_path):
    """In the bundle they lie as the model names them."""
    folder = write_mlflow(tmp_path / "any", "flavors: {onnx: {data: onnx}}", weights="unused")
    (folder / "onnx/w").mkdir(parents=True)
    write_onnx(folder / "onnx/model.onnx", "./w/a.bin w/b.bin w/b.bin")
    for name in "ab":
        (folder / f"onnx/w/{name}.bin").touch()
    found = imported(folder)
    assert found.files == {
        "model.onnx": folder / "onnx/model.onnx",
        "w/a.bin": folder / "onnx/w/a.bin",
        "w/b.bin": folder / "onnx/w/b.bin",
    }
    assert found.ignored == (ENVIRONMENT[0], "model.onnx", *ENVIRONMENT[1:])


@pytest.mark.parametrize(
    ("name", "main"), [("my model.onnx", "model.onnx"), ("net", "model.onnx"), ("Net.ONNX", "Net.ONNX")]
)
def test_a_file_name_that_no_bundle_can_have_is_replaced(tmp_path, name, main):
    """Nothing refers to the name of the ONNX file."""
    folder = write_mlflow(tmp_path / "any", f"flavors: {{onnx: {{data: {name}}}}}")
    write_onnx(folder / name)
    found = imported(folder)
    assert (found.main, found.files) == (main, {main: folder / name})


def test_metadata_without_end_are_not_taken_over(tmp_path):
    """There is room for so many tags; what is left behind is counted."""
    metadata = "".join(f"  key{index:03}: x\n" for index in range(200))
    found = imported(write_mlflow(tmp_path / "any", f"flavors: {{onnx: {{}}}}\nmetadata:\n{metadata}"))
    assert len(found.facts.tags) == 64
    assert found.ignored[0] == "metadata.key063"
    assert found.ignored[32] == "and 105 more"


@pytest.mark.parametrize(
    ("options", "threads", "ignored"),
    [
        ("{intra_op_num_threads: 4}", 4, ()),
        ("{intra_op_num_threads: 99999}", 1, ("flavors.onnx.onnx_session_options.intra_op_num_threads",)),
        ("{intra_op_num_threads: 0}", 1, ("flavors.onnx.onnx_session_options.intra_op_num_threads",)),
        ("{inter_op_num_threads: 2}", 1, ("flavors.onnx.onnx_session_options.inter_op_num_threads",)),
        ("{extra_session_config: {}}", 1, ()),
        ("[1]", 1, ()),
    ],
)
def test_session_options_are_taken_over_where_there_is_one_here(tmp_path, options, threads, ignored):
    """The others are named."""
    found = imported(write_mlflow(tmp_path / "any", f"flavors: {{onnx: {{onnx_session_options: {options}}}}}"))
    assert found.facts.serving.intra_op_threads == threads
    assert found.ignored == (*ignored, *ENVIRONMENT)


@pytest.mark.parametrize("release", ["[1]", '"1\\n2"', "null", "''", "x" * 600])
def test_a_release_that_is_none_is_not_shown(tmp_path, release):
    """Whatever stands there."""
    found = imported(write_mlflow(tmp_path / "any", f"flavors: {{onnx: {{onnx_version: {release}}}}}"))
    assert found.facts.framework == "onnx"
