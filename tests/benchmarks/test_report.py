"""What the report of a benchmark says first, and where it points to."""

import dataclasses
import json
import re
from pathlib import Path

import harness
from harness.report import in_order, markdown
from harness.rows import Row, at_most, beside, failed

_BENCHMARKS = Path(harness.__file__).resolve().parents[1]


def test_what_is_bad_comes_first_and_says_why():
    """What could not be measured, then missed aims, each with the way to its reasons."""
    rows = [
        dataclasses.replace(beside(1, "cost", 2.0, "us"), why="others were busy"),
        at_most(1, "ratio", 1.0, 1.25, "x"),
        at_most(6, "goodput", 1.0, 1.0, void="late"),
        at_most(8, "memory", 166.0, 120.0, "MiB"),
        failed(14, "a | peer", "it hangs"),
    ]
    assert [row.aim for row in in_order(rows)] == [14, 8, 6, 1, 1]
    assert markdown(rows, {"cores": "2"}, Path()).splitlines()[2:7] == [
        "| 14 | a \\| peer | not measured |  | **failed: it hangs** |",
        "| 8 | memory | 166 MiB | <= 120 MiB | **missed**, [why](../README.md#why-aim-8) |",
        "| 6 | goodput | 1 | <= 1 | **void: late** |",
        "| 1 | ratio | 1 x | <= 1.25 x | met |",
        "| 1 | cost | 2 us |  | others were busy |",
    ]


def test_plots_stand_below_the_table_of_their_aim(tmp_path):
    """If they were drawn, and not below others."""
    (tmp_path / "batch_sizes.png").touch()
    assert "(batch_sizes.png)" in markdown([Row(3, "rows", "1")], {}, tmp_path)
    assert ".png" not in markdown([Row(1, "cost", "1 us"), Row(6, "goodput", "1")], {}, tmp_path)


def test_the_readme_says_why_each_aim_was_missed():
    """Of the results that lie beside it."""
    rows = json.loads((_BENCHMARKS / "results" / "latest.json").read_text())["rows"]
    headings = re.findall(r"^#+ Why: aim (\d+)$", (_BENCHMARKS / "README.md").read_text(), re.MULTILINE)
    missed = {row["aim"] for row in rows if row["verdict"] == "missed"}
    assert missed <= set(map(int, headings))
