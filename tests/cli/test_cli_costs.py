"""`serinus models costs`: what it shows of a server's answer, and of a real server's."""

import json

import pytest

from serinus.cli.models.costs import best_rows, document, heading, lines_of
from serinus_api.v1 import admin_pb2 as pb

OCR = pb.LearnedCosts(
    model="ocr",
    version="1.2.0",
    points=[
        pb.LearnedCost(rows=1, length=1, threads=1, seconds=0.001, runs=50),
        pb.LearnedCost(rows=8, length=1, threads=1, seconds=0.004, runs=7),
        pb.LearnedCost(rows=8, length=64, threads=1, seconds=0.0, runs=0),
    ],
    best=[pb.BestRows(length=1, rows=8, rows_per_second=2000.0)],
    lone_threads=2,
    pads=True,
)


def test_the_best_size_of_each_length_is_marked():
    """Rows a second are what a size is judged by; nothing measured is no rate."""
    found = [(line.point.length, line.point.rows, line.rows_per_s, line.is_best) for line in lines_of(OCR)]
    assert found == [(1, 1, pytest.approx(1000.0), False), (1, 8, pytest.approx(2000.0), True), (64, 8, 0.0, False)]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"lone_threads": 1}, "a lone call runs on 1 thread"),
        ({"lone_threads": 2, "pads": True}, "a lone call runs on 2 threads  lengths share runs"),
        (
            {"inline": True, "restored": True},
            "a lone call runs on the event loop  taken over from an earlier start",
        ),
    ],
)
def test_the_heading_says_what_the_batcher_makes_of_it(fields, words):
    """In one line."""
    assert heading(pb.LearnedCosts(model="ocr", version="1.2.0", **fields)) == f"ocr@1.2.0  {words}"


@pytest.mark.parametrize(("rows", "text"), [((), "-"), ((8,), "8"), ((8, 8), "8"), ((32, 4, 8), "4-32")])
def test_best_rows_are_one_number_or_a_range(rows, text):
    """Which of them counts depends on the length."""
    assert best_rows(pb.BestRows(length=length, rows=count) for length, count in enumerate(rows, 1)) == text


def test_programs_get_all_of_it():
    """Rates and marks included, so that nothing has to be worked out again."""
    found = document(OCR)
    assert found["points"][1] == {
        "rows": 8,
        "length": 1,
        "threads": 1,
        "seconds": 0.004,
        "rows_per_second": pytest.approx(2000.0),
        "runs": 7,
        "best": True,
    }
    assert {key: found[key] for key in found if key != "points"} == {
        "model": "ocr",
        "version": "1.2.0",
        "lone_threads": 2,
        "inline": False,
        "pads": True,
        "restored": False,
        "best": [{"length": 1, "rows": 8, "rows_per_second": 2000.0}],
    }


def test_a_version_needs_its_model(ask):
    """It would mean another thing for each."""
    ended = ask("models", "costs", "--version", "1.0.0")
    assert (ended.code, ended.out) == (2, "")


def test_a_real_server_answers(ask):
    """With JSON for programs."""
    ended = ask("models", "costs", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert isinstance(json.loads(ended.out), list)
