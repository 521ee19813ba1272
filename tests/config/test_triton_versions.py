import pytest

from serinus.config.triton_repository import read_model
from serinus.core.errors import ModelRejected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", [10]),
        ("version_policy { latest { } }", [10]),
        ("version_policy { latest { num_versions: 2 } }", [9, 10]),
        ("version_policy { latest { num_versions: 9 } }", [2, 9, 10]),
        ("version_policy { all { } }", [2, 9, 10]),
        ("version_policy { specific { versions: [9, 2] } }", [2, 9]),
    ],
)
def test_the_version_policy_chooses(make_model, tmp_path, policy, expected):
    """Numbers are compared as numbers; without a policy the newest is served."""
    make_model("m", policy, versions=(2, 9, 10))
    found = read_model(tmp_path / "repository", "m")
    assert (list(found.spec.versions), found.warnings) == (expected, ())


def test_what_is_no_version_is_left_out_with_a_warning(make_model, tmp_path):
    """Triton's own folders are known; anything else is named."""
    folder = make_model("m", versions=(1, "v2", "03", "0", "1000000000", "warmup", "configs"))
    (folder / "4").mkdir()
    found = read_model(tmp_path / "repository", "m")
    assert list(found.spec.versions) == [1]
    assert found.warnings == (
        "m: '0' is no version, expected a whole number from 1 to 999999999; ignored",
        "m: '03' is no version, expected a whole number from 1 to 999999999; ignored",
        "m: '1000000000' is no version, expected a whole number from 1 to 999999999; ignored",
        "m: version 4 has no 'model.onnx'; ignored",
        "m: 'v2' is no version, expected a whole number from 1 to 999999999; ignored",
    )


def test_specific_versions_that_do_not_exist_are_named(make_model, tmp_path):
    """Those that exist are served."""
    make_model("m", "version_policy { specific { versions: [1, 5, 7] } }", versions=(1, 2))
    found = read_model(tmp_path / "repository", "m")
    assert list(found.spec.versions) == [1]
    assert found.warnings == ("m: version_policy.specific names versions that do not exist: 5, 7",)


def test_a_policy_that_leaves_nothing_rejects_the_model(make_model, tmp_path):
    """The sentence says what there is."""
    make_model("m", "version_policy { specific { versions: 5 } }", versions=(1, 2))
    with pytest.raises(ModelRejected) as caught:
        read_model(tmp_path / "repository", "m")
    assert caught.value.message == "version_policy.specific names no version that exists; there are 1, 2"
