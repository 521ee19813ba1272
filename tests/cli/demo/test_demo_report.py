"""What the demo makes of its answers."""

from pathlib import Path

import pytest

from serinus.cli.demo.bars import Bar, bar, latency_bars
from serinus.cli.demo.report import Kind, batch_sizes, kinds, shortened
from serinus.cli.demo.run import Classified


def test_kinds_are_counted_and_the_surest_file_stands_for_them():
    """The most frequent first, then by name."""
    answers = [
        Classified(Path("/a"), "python", 0.5, 1),
        Classified(Path("/b"), "python", 1.0, 1),
        Classified(Path("/d"), "zip", 0.9, 1),
        Classified(Path("/c"), "elf", 0.8, 1),
    ]
    assert kinds(answers) == [
        Kind("python", 2, 0.75, Path("/b")),
        Kind("elf", 1, 0.8, Path("/c")),
        Kind("zip", 1, 0.9, Path("/d")),
    ]


def test_each_file_of_a_run_names_the_run_once():
    """Six files that were three in a run each are two runs."""
    answers = [Classified(Path("/a"), "zip", 1.0, rows) for rows in (1, 3, 3, 3, 3, 3, 3)]
    assert batch_sizes(answers) == {1: 1, 3: 2}


@pytest.mark.parametrize(("count", "text"), [(0, ""), (1, "▏"), (500, "██"), (1000, "████"), (625, "██▌")])
def test_a_bar_is_as_long_as_its_count(count, text):
    """In eighths of a character; what is there is seen."""
    assert bar(count, 1000, 4) == text


def test_buckets_are_drawn_by_doublings():
    """Four buckets to a doubling, gaps included, ends not."""
    bounds = [1e-6 * 2 ** (step / 4) for step in range(17)]  # 1 µs to 16 µs
    counts = [0] * 18
    counts[2], counts[4] = 1, 3  # up to 2 µs
    counts[9] = 2  # up to 8 µs
    assert latency_bars(bounds, counts, width=4) == [
        Bar("≤ 2 µs", 4, "████"),
        Bar("≤ 4 µs", 0, ""),
        Bar("≤ 8 µs", 2, "██"),
    ]


def test_the_bucket_without_a_bound_is_drawn_above_the_last():
    """And nothing at all is no line."""
    assert latency_bars([1e-6, 2e-6], [0, 0, 5], width=2) == [Bar("≤ 4 µs", 5, "██")]
    assert latency_bars([1e-6, 2e-6], [0, 0, 0], width=2) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/usr/share/doc/README", "…/doc/README"),
        ("/usr/README", "/usr/README"),
        ("/a/b/a-very-long-name.txt", "…-very-long-name.txt"),
    ],
)
def test_long_paths_keep_their_end(path, text):
    """Where the name is."""
    assert shortened(Path(path), 20) == text
