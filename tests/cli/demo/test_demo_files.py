"""Which files the demo looks at."""

from pathlib import Path

import pytest

from serinus.cli.demo.files import choose, kind_of_name, usual_roots, walk


def _tree(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def _names(files, root: Path) -> list[str]:
    return [str(file.relative_to(root)) for file in files]


def test_roots_take_turns_and_shallow_files_come_first(tmp_path):
    """One huge folder does not fill the demo by itself."""
    _tree(tmp_path, "a/1", "a/sub/2", "a/sub/deep/3", "b/4", "b/sub/5")
    found = walk([tmp_path / "a", tmp_path / "b"], most_entries=100)
    assert _names(found, tmp_path) == ["a/1", "b/4", "a/sub/2", "b/sub/5", "a/sub/deep/3"]


def test_links_are_not_followed(tmp_path):
    """A loop would never end, and a device never answer."""
    _tree(tmp_path, "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert _names(walk([tmp_path], most_entries=100), tmp_path) == ["real"]


def test_a_walk_is_bounded(tmp_path):
    """Folders count as well as files."""
    _tree(tmp_path, "a", "b", "c/d", "e")
    assert _names(walk([tmp_path], most_entries=3), tmp_path) == ["a", "b"]


def test_a_folder_that_cannot_be_read_is_passed_over(tmp_path):
    """Such as one that has just gone."""
    _tree(tmp_path, "a")
    assert _names(walk([tmp_path / "gone", tmp_path], most_entries=9), tmp_path) == ["a"]


def _chosen(names: list[str], *, wanted: int, most_per_suffix: int) -> list[str]:
    def read(file: Path) -> str | None:
        if file.name.startswith("locked"):
            raise PermissionError(file)
        return None if file.name.startswith("short") else file.name

    files = (Path(name) for name in names)
    return [content for _, content in choose(files, read, wanted=wanted, most_per_suffix=most_per_suffix)]


def test_no_suffix_crowds_out_the_others():
    """As long as there are others."""
    assert _chosen(["a.py", "b.py", "c.py", "d.txt", "e"], wanted=4, most_per_suffix=2) == [
        "a.py", "b.py", "d.txt", "e"
    ]  # fmt: skip


def test_more_of_the_same_is_better_than_too_few():
    """A small container has few kinds of files."""
    assert _chosen(["a.py", "b.py", "c.py", "d.txt"], wanted=4, most_per_suffix=1) == ["a.py", "d.txt", "b.py", "c.py"]


def test_files_that_give_nothing_are_not_chosen():
    """Neither those that may not be read nor those that are too short."""
    assert _chosen(["locked.a", "short.b", "c.a"], wanted=3, most_per_suffix=1) == ["c.a"]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.PY", ".py"), ("libz.so.1.3.1", ".so"), ("README", ""), (".profile", ""), ("a.tar.gz", ".gz"), ("a.1", "")],
)
def test_versions_in_names_are_no_suffixes(name, suffix):
    """Otherwise a system's libraries would each be a kind of their own."""
    assert kind_of_name(Path(name)) == suffix


def test_this_machine_has_somewhere_to_look():
    """At least this Python's own folder."""
    assert all(root.is_dir() for root in usual_roots())
    assert usual_roots()
