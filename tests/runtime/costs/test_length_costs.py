"""What runs of rows and lengths cost, learned from made-up curves."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.runtime.costs import LengthCosts, QuickRuns
from serinus.runtime.costs.by_length import bucket_of


def text(rows: int, length: int) -> float:
    """A transformer: an overhead, and a price for each token."""
    return 2e-3 + 4e-4 * rows * length


def learn(lengths, rows=(1, 2, 4, 8), runs: int = 10) -> LengthCosts:
    costs = LengthCosts()
    for _ in range(runs):
        for length, each in itertools.product(lengths, rows):
            costs.observe(each, text(each, length), length)
    return costs


def test_nothing_known_predicts_nothing():
    """Unknown is 0, and the first doubling may be tried."""
    costs = LengthCosts()
    assert (costs.predict_s(1, 8), costs.best_rows(32, 8), costs.best_rows(1, 8)) == (0.0, 2, 1)


def test_lengths_have_buckets_two_to_a_doubling():
    """Short ones have one each."""
    lengths = [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 23, 24]
    assert [bucket_of(length) - bucket_of(1) for length in lengths] == [0, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8]


@pytest.mark.parametrize("length", [8, 32, 128])
@pytest.mark.parametrize("rows", [1, 2, 8])
def test_known_runs_are_predicted_as_seen(rows, length):
    """A run like those before costs what they cost."""
    assert learn([8, 32, 128]).predict_s(rows, length) == pytest.approx(text(rows, length), rel=1e-6)


@pytest.mark.parametrize(("rows", "length"), [(1, 20), (3, 32), (5, 70), (8, 100)])
def test_between_known_runs_lies_a_plane(rows, length):
    """Here the truth is one."""
    assert learn([8, 32, 128]).predict_s(rows, length) == pytest.approx(text(rows, length), rel=1e-6)


def test_beyond_known_lengths_costs_are_proportional():
    """Twice as long, twice as dear; half as long, half."""
    costs = learn([32])
    assert [costs.predict_s(1, length) for length in (16, 32, 64)] == pytest.approx(
        [text(1, 32) * factor for factor in (0.5, 1, 2)]
    )


def test_rows_that_were_not_seen_at_a_length_cost_as_at_its_neighbour():
    """At 16 two rows cost 1.2 times what one does; so they do at 64, where only one was seen, and the other way."""
    costs = LengthCosts()
    for rows, length, seconds in ((1, 16, 1.0), (2, 16, 1.2), (1, 64, 3.0), (4, 64, 5.0)):
        costs.observe(rows, seconds, length)
    assert costs.predict_s(2, 64) == pytest.approx(3.0 + 2.0 / 3)  # it has a line of its own there
    assert costs.predict_s(4, 16) == pytest.approx(1.2 * 5.0 / (3.0 + 2.0 / 3))


def test_each_length_has_its_own_best():
    """Short texts gain from company, long ones do not."""
    costs = LengthCosts()
    for _ in range(60):
        for length in (8, 512):
            rows = costs.best_rows(64, length)
            costs.observe(rows, 10e-3 + 1e-3 * rows if length == 8 else 50e-3 * rows, length)
    assert (costs.best_rows(64, 8), costs.best_rows(64, 512)) == (64, 1)


def test_a_length_without_runs_begins_where_its_neighbour_is():
    """The nearer of two, the longer of two as near."""
    costs = LengthCosts()
    for _ in range(60):
        for length in (8, 128):
            rows = costs.best_rows(64, length)
            costs.observe(rows, 10e-3 + 1e-3 * rows if length == 8 else 50e-3 * rows, length)
    assert [costs.best_rows(64, length) for length in (1, 10, 32, 100, 4096)] == [64, 64, 1, 1, 1]


def test_what_is_new_is_seen_soon():
    """A model that became slow is predicted to be, 16 runs later at most."""
    costs = learn([16], runs=100)
    for _ in range(18):
        costs.observe(1, 10 * text(1, 16), 16)
    assert costs.predict_s(1, 16) == pytest.approx(10 * text(1, 16), rel=0.05)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 300), st.floats(1e-5, 1.0)), min_size=1, max_size=40))
def test_more_rows_and_more_length_never_cost_less(runs):
    """Whatever was seen, in whatever order."""
    costs = LengthCosts()
    for rows, length, seconds in runs:
        costs.observe(rows, seconds, length)
    at = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89]
    by = [1, 2, 3, 6, 10, 17, 30, 54, 100, 250, 700]
    predicted = [[costs.predict_s(rows, length) for rows in at] for length in by]
    for line in (*predicted, *map(list, zip(*predicted, strict=True))):
        assert all(less <= more * (1 + 1e-9) for less, more in itertools.pairwise(line))
        assert line[0] > 0.0


def test_it_reads_as_what_it_knows():
    """The representation lists what is known, by length and rows."""
    costs = LengthCosts()
    costs.observe(2, 1.0, 32)
    costs.observe(1, 0.5, 8)
    assert repr(costs) == "<LengthCosts [1x8 0.5 s, 2x32 1 s]>"


def test_quick_is_what_was_quick_again_and_again():
    """Eight runs of about that size, and none larger than the largest of them."""
    quick = QuickRuns(1e-3)
    seen = []
    for _ in range(8):
        seen.append(quick.is_quick(3, 20))
        quick.observe(3, 0.5e-3, 20)
    assert seen == [False] * 8
    asked = [(3, 20), (3, 16), (3, 21), (4, 20), (2, 20), (3, 8), (0, 20)]
    assert [quick.is_quick(*size) for size in asked] == [True, True, False, False, False, False, False]


def test_one_slow_run_takes_the_trust_away():
    """It is given again after eight that are quick."""
    quick = QuickRuns(1e-3)
    for _ in range(20):
        quick.observe(1, 0.5e-3, 1)
    quick.observe(1, 2e-3, 1)
    assert not quick.is_quick(1, 1)
    for _ in range(8):
        quick.observe(1, 0.5e-3, 1)
    assert quick.is_quick(1, 1)
