"""What was learned, kept from one start to the next."""

import json
import math

import pytest

from serinus.runtime.costs import CostModel, LengthCosts, costs_from, document_of


def learned() -> CostModel:
    cost = CostModel()
    for _ in range(50):
        rows = cost.best_rows(16)
        cost.observe(rows, 1e-3 + 1e-6 * rows)
    return cost


def test_a_document_holds_all_that_is_known():
    """Rows, length, seconds, runs."""
    cost = CostModel()
    cost.observe(1, 0.123456)
    cost.observe(6, 1.0)
    cost.observe(8, 1.0)
    assert document_of(cost) == {"version": 1, "points": [[1.0, 1.0, 0.1235, 1], [7.0, 1.0, 1.0, 2]]}


def test_a_start_is_warm():
    """The best rows are known at once, and what runs cost."""
    before, after = learned(), CostModel()
    assert costs_from(json.loads(json.dumps(document_of(before))), after) == 4
    assert (before.best_rows(16), after.best_rows(16)) == (16, 16)
    assert after.predict_s(16) == pytest.approx(before.predict_s(16), rel=1e-3)


def test_lengths_come_back():
    """Each in its place."""
    before, after = LengthCosts(), LengthCosts()
    for length in (5, 7, 100):
        for _ in range(10):
            before.observe(3, length / 100, length)
    costs_from(document_of(before), after)
    assert repr(after) == repr(before) == "<LengthCosts [3x5 0.05 s, 3x7 0.07 s, 3x100 1 s]>"


def test_a_machine_that_changed_is_believed_at_once():
    """What was learned before weighs as little as one run, or nothing where a run is faster."""
    cost = CostModel()
    costs_from({"version": 1, "points": [[1, 1, 1.0, 100_000]]}, cost)
    cost.observe(1, 3.0)
    assert cost.predict_s(1) == pytest.approx(2.0)
    cost.observe(1, 0.1)
    assert cost.predict_s(1) == pytest.approx(0.1)


def test_what_is_never_seen_again_is_forgotten():
    """Half of the runs each time; one run is none."""
    document = {"version": 1, "points": [[1, 1, 1.0, 11]]}
    runs = []
    while document["points"]:
        runs.append(document["points"][0][3])
        cost = CostModel()
        costs_from(document, cost)
        document = document_of(cost)
    assert runs == [11, 5, 2, 1]


@pytest.mark.parametrize("seconds", [1e-9, 1e6])
def test_what_cannot_be_true_is_forgotten(seconds: float):
    """Neither a run of many rows that takes no time, nor one that takes for ever, outlives what is seen of few."""
    cost = CostModel()
    costs_from({"version": 1, "points": [[1, 1, 1e-9, 100], [1 << 16, 1, seconds, 100]]}, cost)
    for _ in range(20):
        cost.observe(1, 5e-3)
    assert cost.predict_s(1) == pytest.approx(5e-3)
    assert repr(cost) == "<CostModel [1 rows 0.005 s]>"


def test_what_can_be_true_is_kept():
    """A model may gain a lot from more rows, or lose somewhat."""
    cost = CostModel()
    costs_from({"version": 1, "points": [[8, 1, 4e-3, 100], [64, 1, 0.6, 100]]}, cost)
    for _ in range(20):
        cost.observe(1, 5e-3)
    assert repr(cost) == "<CostModel [1 rows 0.005 s, 8 rows 0.004 s, 64 rows 0.6 s]>"


@pytest.mark.parametrize("seconds", [1e-9, 1e6])
def test_what_cannot_be_true_of_longer_rows_counts_for_nothing(seconds: float):
    """A row that is ten times as long takes at least as long, and at most a few hundred times."""
    cost = LengthCosts()
    costs_from({"version": 1, "points": [[1, 500, seconds, 100], [1, 100, 10e-3, 100]]}, cost)
    for _ in range(40):
        cost.observe(1, 5e-3, 50)
    assert cost.predict_s(1, 50) == pytest.approx(5e-3)
    assert cost.predict_s(1, 500) == pytest.approx(50e-3)


POINT = [1, 1, 1.0, 2]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"version": 2, "points": []},
        {"version": 1},
        {"version": 1, "points": "1234"},
        {"version": 1, "points": [POINT] * 1025},
        {"version": 1, "points": ["1234"]},
        {"version": 1, "points": [POINT[:3]]},
        *(
            {"version": 1, "points": [POINT, [rows, *POINT[1:]]]}
            for rows in (0, -1, 10**400, True, "1", None, math.nan)
        ),
        *({"version": 1, "points": [POINT, [1, length, 1.0, 2]]} for length in (0, math.inf, [1])),
        *({"version": 1, "points": [POINT, [1, 1, s, 2]]} for s in (0, -1.0, math.nan, math.inf, 1e7, "1")),
        *({"version": 1, "points": [POINT, [1, 1, 1.0, runs]]} for runs in (-1, 1.5, 1 << 60, False)),
    ],
)
def test_what_is_no_document_is_refused_whole(document):
    """Nothing of it is taken over."""
    cost = CostModel()
    with pytest.raises(ValueError, match=r"^costs: expected"):
        costs_from(document, cost)
    assert repr(cost) == "<CostModel []>"
