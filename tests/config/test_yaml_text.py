import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.config.errors import ConfigError
from serinus.config.yaml_text import DEEPEST, MOST_VALUES, read_yaml

OURS = "tag:yaml.org,2002:python"
LONGEST = 1 << 20
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 100))
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
trees = st.recursive(words, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))


def refusal(text: str, longest_bytes: int = LONGEST) -> str:
    with pytest.raises(ConfigError) as refused:
        read_yaml(text, longest_bytes=longest_bytes)
    (problem,) = refused.value.problems
    return problem


@settings(deadline=None)
@given(trees)
def test_a_tree_of_texts_comes_back(tree: object):
    """Whatever stands in them: numbers, dates, `null`, line ends and colons are quoted by whoever writes YAML."""
    assert read_yaml(yaml.safe_dump(tree, default_style='"'), longest_bytes=LONGEST) == tree


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# only a comment", None),
        ("null", None),
        ("12", "12"),
        ("[1, 2.50, 0x1f, 010, 1_000, .nan]", ["1", "2.50", "0x1f", "010", "1_000", ".nan"]),
        ("[yes, no, True, on]", ["yes", "no", "True", "on"]),
        ("day: 2024-01-01\nno-day: 2024-13-45", {"day": "2024-01-01", "no-day": "2024-13-45"}),
        ("a:\nb: ~\nc: null\nd: ''\ne: '~'", {"a": None, "b": None, "c": None, "d": "", "e": "~"}),
        ("~: 1\nnull: 2", {"~": "1", "null": "2"}),
        ("a: &x [1]\nb: *x\nc: [*x, *x]", {"a": ["1"], "b": ["1"], "c": [["1"], ["1"]]}),
        ("<<: {a: 1}", {"<<": {"a": "1"}}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("? a\n: 1", {"a": "1"}),
        ("--- \na: 1\n...\n", {"a": "1"}),
    ],
)  # fmt: skip
def test_texts_stay_as_they_were_written(text: str, expected: object):
    """Nothing becomes a number, a date or a truth value; only what is left empty is nothing."""
    assert read_yaml(text, longest_bytes=LONGEST) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: !!python/object/new:x [1]", f"expected no tag, got '{OURS}/object/new:x' at line 1, column 4"),
        ("a: !!python/name:os.system", f"expected no tag, got '{OURS}/name:os.system' at line 1, column 4"),
        ("a: !!binary aGk=", "expected no tag, got 'tag:yaml.org,2002:binary' at line 1, column 4"),
        ("!own {a: 1}", "expected no tag, got '!own' at line 1, column 1"),
        ("a: 1\nb: {c: 2, c: 3}", "the key 'c' is given twice at line 2, column 11"),
        ("? [a]\n: 1", "expected text as a key at line 1, column 5"),
        ("? *a\n: 1", "an alias names nothing before it at line 1, column 3"),
        ("a: 1\n---\na: 2", "expected one document at line 2, column 1"),
        ("a: &a [*a]", "an alias names nothing before it at line 1, column 8"),
        ("a: &a {b: *a}", "an alias names nothing before it at line 1, column 11"),
        ("&a [" * DEEPEST + "[", f"expected at most {DEEPEST} levels at line 1, column {4 * DEEPEST + 1}"),
    ],
)  # fmt: skip
def test_what_no_author_means_is_refused_where_it_stands(text: str, problem: str):
    """Objects, cycles, keys that would overwrite each other."""
    assert refusal(text) == f"cannot be read as YAML: {problem}"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1", " at line 2, column 1"),
        ("a: b: c", " at line 1, column 5"),
        ("\ta: 1", " at line 1, column 1"),
        ('a: "\\ud800"', " at line 1, column 7"),
        ("a: @b", " at line 1, column 4"),
        ("a: \0", ""),
    ],
)
def test_what_is_no_yaml_is_refused_where_it_stands(text: str, place: str):
    """Without the parser's own words."""
    assert refusal(text) == f"cannot be read as YAML{place}"


def test_text_that_no_file_can_hold_is_refused():
    """Half of a surrogate pair, as a wrongly decoded file has it."""
    assert refusal("a: \ud800") == "cannot be read as YAML: it is not UTF-8 text"


def test_a_document_has_a_longest_size():
    """Counted in bytes, before anything is parsed."""
    assert read_yaml("ä", longest_bytes=2) == "ä"
    assert refusal("ää", 3) == "expected at most 3 bytes of YAML, got 4"


@pytest.mark.parametrize(
    ("text", "line"),
    [(BOMB, 6), ("[" + "a," * (MOST_VALUES + 1) + "]", 1), ("- a\n" * (MOST_VALUES + 1), MOST_VALUES + 1)],
    ids=["aliases", "a list", "lines"],
)
def test_a_document_that_blows_up_is_refused(text: str, line: int):
    """Aliases count as what they stand for, so a billion of them is never written out."""
    problem = refusal(text)
    assert problem.startswith(
        f"cannot be read as YAML: expected at most {MOST_VALUES} values, aliases written out at line {line}, column "
    )


@pytest.mark.parametrize("text", ["[" * 500_000, "{a: " * 200_000, "- " * 300_000, "? " * 300_000, "&a " * 300_000])
def test_a_document_that_is_deep_is_refused_at_once(text: str):
    """Without a recursion that could end the process."""
    assert refusal(text).startswith("cannot be read as YAML")


@settings(deadline=None)
@given(st.text("ab:-[]{}&*!?|>'\"%@`#,\n \t\\0~<", max_size=30))
def test_any_text_is_read_or_refused(text: str):
    """Nothing else can happen."""
    try:
        read_yaml(text, longest_bytes=LONGEST)
    except ConfigError as refused:
        assert len(refused.problems) == 1  # noqa: PT017 - both ends are right
