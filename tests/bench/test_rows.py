"""What the benchmarks' figures say about their aims."""

import numpy as np
import pytest

from benchmarks.harness.rows import Row, Verdict, at_least, at_most, beside, void_of
from serinus.bench.notes import Notebook
from serinus.bench.run import Run
from serinus.bench.spread import Spread

SPREAD = Spread((1.2, 1.3, 1.5))


def test_the_median_decides_and_the_range_stands_beside_it():
    """An aim is met when it is reached exactly."""
    assert at_most(1, "cost", SPREAD, 1.25, "x") == Row(
        1, "cost", "1.3 x (1.2 to 1.5)", "<= 1.25 x", Verdict.MISSED, (1.2, 1.3, 1.5)
    )
    assert at_least(2, "speed", SPREAD, 1.3) == Row(
        2, "speed", "1.3 (1.2 to 1.5)", ">= 1.3", Verdict.MET, (1.2, 1.3, 1.5)
    )
    assert beside(3, "time", 12.345, "ms") == Row(3, "time", "12.3 ms", measured=(12.345,))


@pytest.mark.parametrize("judged", [at_most, at_least])
def test_a_void_figure_meets_nothing(judged):
    """Nor does it miss anything."""
    row = judged(6, "goodput", 1.0, 1.0, void="the generator was late")
    assert (row.verdict, row.why) == (Verdict.VOID, "the generator was late")


def test_a_figure_that_is_no_number_meets_nothing():
    """A run without answers has no percentiles."""
    assert at_most(6, "p99", float("nan"), 1.0).verdict is Verdict.MISSED
    assert at_least(6, "p99", float("nan"), 1.0).verdict is Verdict.MISSED


def test_one_void_repeat_voids_the_figure():
    """The others would hide it."""
    good = Notebook()
    good.note(0.5, 0.5, 0.6, ("OK", ""))
    runs = [Run(good.read(0.0), 0.0, 1.0), Run(Notebook().read(0.0), 0.0, 1.0)]
    assert void_of(runs) == "no call was due within the run"
    assert void_of(runs[:1]) == ""
    assert np.isnan(runs[1].latency_s(50))


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.01234, "0.012"), (1.0, "1"), (9.876, "9.88"), (98.76, "98.8"), (9876.5, "9876")]
)
def test_figures_have_three_digits(value, text):
    """And no exponent."""
    assert beside(1, "", value).figure == text
