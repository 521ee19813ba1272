import pytest

from serinus.config.dvc_file import training_data_hash_of
from serinus.config.errors import ConfigError

MD5 = "a304afb96060aad90176268345e10355"
ONE = f"outs:\n- md5: {MD5}\n  size: 37891850\n  hash: md5\n  path: data.xml\n"
FOLDER = f"outs:\n- md5: {MD5}.dir\n  nfiles: 3\n  size: 9\n  path: images\n"
IMPORTED = f"""\
md5: 0b2f6a0d8c7a8d1a7c0c0a3b1e5f1a11
frozen: true
deps:
- path: get-started/data.xml
  repo:
    url: https://github.com/iterative/dataset-registry
    rev_lock: f31f5c4cdae787b4bdeb97a717687d44667d9e62
outs:
- md5: {MD5}
  size: 37891850
  path: data.xml
"""
TWO = f"outs:\n- md5: {MD5}\n  path: a.csv\n- md5: {'0' * 32}\n  path: b.csv\n"


@pytest.mark.parametrize(
    ("text", "output", "expected"),
    [
        (ONE, "", f"md5:{MD5}"),
        (ONE, "data.xml", f"md5:{MD5}"),
        (FOLDER, "", f"md5:{MD5}.dir"),
        (IMPORTED, "", f"md5:{MD5}"),
        (TWO, "b.csv", f"md5:{'0' * 32}"),
    ],
)
def test_the_hash_of_the_data_is_read(tmp_path, text, output, expected):
    """Of a file, a folder, data that were imported, and one of several outputs; digits alone stay text."""
    (tmp_path / "data.dvc").write_text(text, encoding="utf-8")
    assert training_data_hash_of(tmp_path / "data.dvc", output=output) == expected


@pytest.mark.parametrize(
    ("text", "output", "problem"),
    [
        (TWO, "", "expected one output, got 'a.csv', 'b.csv'"),
        (TWO, "c.csv", "expected an output 'c.csv', got 'a.csv', 'b.csv'"),
        ("outs: []", "", "expected one output, got none"),
        ("outs: [x]", "", "expected a .dvc file with 'outs'"),
        ("stages: {}", "", "expected a .dvc file with 'outs'"),
        ("", "", "expected a .dvc file with 'outs'"),
        ("outs: [{path: a, etag: x}]", "", "expected an md5 of the output 'a', got none"),
        ("outs: [{path: a, md5: 12}]", "", "expected an md5 of 32 digits, got '12'"),
        ("a: [", "", "cannot be read as YAML at line 2, column 1"),
        ("a: &a [*a]", "", "cannot be read as YAML: an alias names nothing before it at line 1, column 8"),
        (None, "", "'data.dvc' cannot be read: No such file or directory"),
    ],
)
def test_what_has_no_hash_is_refused(tmp_path, text, output, problem):
    """The operator named the file, so the sentence has its path."""
    file = tmp_path / "data.dvc"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        training_data_hash_of(file, output=output)
    assert refused.value.problems == (f"{file}: {problem}",)
