"""Names and versions."""

import pytest

from serinus.core.errors import InvalidInput
from serinus.core.version import ModelVersion, Version, check_model_name


@pytest.mark.parametrize("name", ["m", "0", "a.b-c_d", "resnet50", "a" * 128, "a.", "a-"])
def test_a_name_of_letters_digits_and_three_marks_is_one(name: str):
    """It is given back."""
    assert check_model_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "A", "a b", "a/b", "a\\b", "..", ".a", "-a", "_a", "a..b", "a" * 129, "a\n", "a\x00", "ä", "٣", "a:b", "a*"],
)
def test_everything_else_is_not(name: str):
    """No path, no pattern, no control character; the sentence shows a part of it, escaped."""
    with pytest.raises(InvalidInput) as refused:
        check_model_name(name)
    assert (refused.value.reason, refused.value.field) == ("INVALID_NAME", "model")
    assert (
        refused.value.message == f"invalid model name {name[:64]!r}: expected [a-z0-9][a-z0-9._-]{{0,127}} without '..'"
    )


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.2.3", Version(1, 2, 3)),
        ("0.0.0", Version(0)),
        ("10.0.20", Version(10, 0, 20)),
        ("999999999.999999999.999999999", Version(999_999_999, 999_999_999, 999_999_999)),
    ],
)
def test_a_version_is_three_numbers(text: str, version: Version):
    """And is written as it was read."""
    assert Version.parse(text) == version
    assert str(version) == text


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.02.3", "1.2.-3", "+1.2.3", "1.2.3 ", "1.2.3\n", "v1.2.3", "1.2.3-rc1",
     "1.2.x", "٣.0.0", "1000000000.0.0", "1.2.3" * 100],
)  # fmt: skip
def test_everything_else_is_no_version(text: str):
    """Leading zeros and signs would give one version two names."""
    with pytest.raises(InvalidInput) as refused:
        Version.parse(text)
    assert (refused.value.reason, refused.value.field) == ("INVALID_VERSION", "version")
    assert refused.value.message == f"invalid version {text[:64]!r}: expected MAJOR.MINOR.PATCH"


def test_versions_are_ordered_by_their_numbers():
    """Not by their text."""
    texts = ["10.0.0", "2.0.0", "1.10.0", "1.2.0", "1.2.10", "1.2.9"]
    assert [str(version) for version in sorted(map(Version.parse, texts))] == [
        "1.2.0",
        "1.2.9",
        "1.2.10",
        "1.10.0",
        "2.0.0",
        "10.0.0",
    ]


def test_a_model_version_knows_its_texts():
    """Made once, because each answer carries them."""
    identity = ModelVersion("m", Version(1, 2, 3), 7)
    assert (str(identity), identity.version_text, identity.number_text) == ("m@1.2.3", "1.2.3", "7")


def test_model_versions_are_the_same_when_all_of_them_is():
    """The hash looks at less than equality does."""
    identity = ModelVersion("m", Version(1), 1)
    others = [ModelVersion("n", Version(1), 1), ModelVersion("m", Version(2), 1), ModelVersion("m", Version(1), 2)]
    assert {identity: "found"}[ModelVersion("m", Version(1), 1)] == "found"
    assert all(other != identity and other not in {identity: "found"} for other in others)
