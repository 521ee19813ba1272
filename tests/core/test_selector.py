"""Which version is meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.errors import InvalidInput
from serinus.core.selector import LATEST, STABLE, VersionRange, check_alias, resolve
from serinus.core.version import ModelVersion, Version

V = Version
small = st.integers(0, 3)
versions = st.builds(Version, small, small, small)


def registered(*texts: str) -> list[ModelVersion]:
    """Versions with the numbers 11, 12, ...: no number is a part of a version here."""
    return [ModelVersion("m", Version.parse(text), 11 + index) for index, text in enumerate(texts)]


@pytest.mark.parametrize("alias", ["stable", "canary", "a", "a-b_c9", "x", "v1", "a" * 64])
def test_an_alias_is_a_lower_case_word(alias: str):
    """It is returned as it came."""
    assert check_alias(alias) == alias


@pytest.mark.parametrize(
    "alias",
    ["", "latest", "1", "1a", "-a", "_a", "A", "aB", "a.b", "a b", "a/b", "a\n", "ä", "a" * 65, "^1", "a" * 9999],
)
def test_what_could_be_taken_for_something_else_is_no_alias(alias: str):
    """Versions begin with digits, ranges with signs, and `latest` has its meaning."""
    with pytest.raises(InvalidInput) as refused:
        check_alias(alias)
    assert (refused.value.reason, refused.value.field) == ("INVALID_ALIAS", "alias")
    assert refused.value.message == (
        f"invalid alias {alias[:80]!r}: expected [a-z][a-z0-9_-]{{0,63}}, and not 'latest', which always means the"
        " highest version"
    )


@pytest.mark.parametrize(
    ("text", "lowest", "end"),
    [
        ("^1.2", V(1, 2), V(2)),
        ("^1.2.3", V(1, 2, 3), V(2)),
        ("^1", V(1), V(2)),
        ("^1.x", V(1), V(2)),
        ("^1.2.x", V(1, 2), V(2)),
        ("^0.2.3", V(0, 2, 3), V(0, 3)),
        ("^0.2", V(0, 2), V(0, 3)),
        ("^0.0.3", V(0, 0, 3), V(0, 0, 4)),
        ("^0.0", V(0), V(0, 1)),
        ("^0.0.x", V(0), V(0, 1)),
        ("^0.0.0", V(0), V(0, 0, 1)),
        ("^0", V(0), V(1)),
        ("~1.2.3", V(1, 2, 3), V(1, 3)),
        ("~1.2", V(1, 2), V(1, 3)),
        ("~1", V(1), V(2)),
        ("~0.2.3", V(0, 2, 3), V(0, 3)),
        ("~0", V(0), V(1)),
        ("1.2.3", V(1, 2, 3), V(1, 2, 4)),
        ("=1.2.3", V(1, 2, 3), V(1, 2, 4)),
        ("1.2", V(1, 2), V(1, 3)),
        ("1.2.x", V(1, 2), V(1, 3)),
        ("1.2.*", V(1, 2), V(1, 3)),
        ("1.x", V(1), V(2)),
        ("1.x.x", V(1), V(2)),
        ("1", V(1), V(2)),
        (">=1.2", V(1, 2), None),
        (">1.2", V(1, 3), None),
        (">1.2.3", V(1, 2, 4), None),
        (">1", V(2), None),
        ("<1.2", V(0), V(1, 2)),
        ("<=1.2", V(0), V(1, 3)),
        ("<=1.2.3", V(0), V(1, 2, 4)),
        (">=1.2 <1.5", V(1, 2), V(1, 5)),
        ("  >=1.2   <1.5 ", V(1, 2), V(1, 5)),
        ("<1.5 >=1.2 <1.4 >=1.1", V(1, 2), V(1, 4)),
        ("^1.2 <1.5", V(1, 2), V(1, 5)),
        ("=999999999.0.0", V(999_999_999), V(999_999_999, 0, 1)),
        (">=2 <1", V(2), V(1)),
    ],
)
def test_a_range_has_a_first_version_and_an_end(text: str, lowest: Version, end: Version | None):
    """As npm and Cargo read it."""
    assert VersionRange.parse(text) == VersionRange(lowest, end)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "x", "*", "^", "^x", "1.x.3", "^1.x.3", "1.2.3.x", "1.2.3.4", "1.2.x.x", "1..2", "1.", ".1", "01.2",
        "1.02", "^^1", ">= 1.2", "=>1", "!=1", "1.2.3-rc1", "v1.2", "1,2", ">=1.2,<1.5", "1 || 2", "1 - 2",
        "1000000000", "٣.1", "^1.2\0", "1.2.X", ">=1 " * 9, "1.2" * 100_000,
    ],
)  # fmt: skip
def test_everything_else_is_no_range(text: str):
    """The sentence shows a part of what was sent, however long."""
    with pytest.raises(InvalidInput) as refused:
        VersionRange.parse(text)
    assert (refused.value.reason, refused.value.field) == ("INVALID_RANGE", "range")
    assert refused.value.message == (
        f"invalid range {text[:80]!r}: expected such as '^1.2', '~1.2', '1.2.x' or '>=1.2 <1.5'"
    )


@given(versions, versions)
def test_a_caret_keeps_the_first_number_that_counts(low: Version, version: Version):
    """What comes before it must be the same, what comes behind it may grow."""
    numbers, others = (low.major, low.minor, low.patch), (version.major, version.minor, version.patch)
    counts = next((index for index, number in enumerate(numbers) if number), 2) + 1
    expected = version >= low and numbers[:counts] == others[:counts]
    assert (version in VersionRange.parse(f"^{low}")) is expected


@given(versions, versions)
def test_a_version_as_a_range_holds_itself_alone(one: Version, other: Version):
    """With and without the sign."""
    assert (other in VersionRange.parse(str(one))) is (other in VersionRange.parse(f"={one}")) is (one == other)


@given(versions, versions, versions)
def test_comparisons_that_stand_together_all_hold(low: Version, high: Version, version: Version):
    """In any order."""
    expected = low <= version < high
    assert (version in VersionRange.parse(f">={low} <{high}")) is expected
    assert (version in VersionRange.parse(f"<{high} >={low}")) is expected


@given(st.text(max_size=20) | st.text("0123456789.x*^~<>= ", max_size=12))
def test_any_text_is_a_range_or_refused(text: str):
    """Nothing else can happen."""
    try:
        VersionRange.parse(text)
    except InvalidInput as refused:
        assert refused.reason == "INVALID_RANGE"  # noqa: PT017 - both ends are right


THERE = registered("1.0.0", "1.2.0", "1.2.9", "1.10.0", "2.0.0")
ALIASES = {STABLE: THERE[1], "canary": THERE[4], "gone": ModelVersion("m", V(3), 99)}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", "1.2.0"),
        ("stable", "1.2.0"),
        ("canary", "2.0.0"),
        ("latest", "2.0.0"),
        ("gone", None),
        ("nobody", None),
        ("x", None),
        ("1.2.0", "1.2.0"),
        ("=1.2.0", "1.2.0"),
        ("1.2.1", None),
        ("12", "1.2.0"),
        ("15", "2.0.0"),
        ("1", None),
        ("2", None),
        ("0", None),
        ("012", None),
        ("1000000000", None),
        ("9" * 5000, None),
        ("^1.2", "1.10.0"),
        ("~1.2", "1.2.9"),
        ("1.2.x", "1.2.9"),
        ("1.x", "1.10.0"),
        ("<1.2", "1.0.0"),
        (">=1.2 <1.5", "1.2.9"),
        (">2.0.0", None),
        (">=2 <1", None),
    ],
)
def test_a_selector_means_one_version_or_none(selector: str, expected: str | None):
    """Of a range the highest; a bare number is a version's number and never a range."""
    found = resolve(selector, THERE, ALIASES)
    assert (None if found is None else found.version_text) == expected


@pytest.mark.parametrize(
    "selector", ["A", "1.x.2", " ", "-1", "1/2", "../1", "v" * 65, "stable ", "stable\n", "\ud800"]
)
def test_a_text_that_can_mean_nothing_is_refused(selector: str):
    """A caller should read that it is wrong, and not that nothing was found."""
    with pytest.raises(InvalidInput) as refused:
        resolve(selector, THERE, ALIASES)
    assert refused.value.reason == "INVALID_RANGE"


def test_without_the_alias_stable_the_highest_is_meant():
    """By number of the version, not of the registration."""
    assert resolve("", registered("2.0.0", "1.9.0"), {}) == ModelVersion("m", V(2), 11)
    assert resolve("", [], {}) is None
    assert resolve(LATEST, [], ALIASES) is None


def test_a_stable_version_that_is_not_there_is_not_replaced():
    """Whoever set the alias did not mean the highest version."""
    assert resolve("", THERE[2:], ALIASES) is None


def test_latest_cannot_be_led_astray():
    """Even if somebody wrote an alias of that name into the database."""
    assert resolve(LATEST, THERE, {LATEST: THERE[0]}) == THERE[4]


@given(st.lists(versions, unique=True, max_size=8), versions)
def test_the_highest_of_a_range_is_found(there: list[Version], low: Version):
    """Compared with picking by hand."""
    models = [ModelVersion("m", version, 100 + index) for index, version in enumerate(there)]
    found = resolve(f">={low}", models, {})
    assert (None if found is None else found.version) == max((each for each in there if each >= low), default=None)
