"""Bounds of means that hold at all times."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.rollout.judging.statistics import means
from serinus.rollout.judging.statistics.runs import run_limit


@pytest.mark.parametrize(
    ("count", "total", "alpha", "low", "high"),
    [
        (0, 0, 0.01, 0.0, 1.0),
        (200, 0, 0.01, 0.0, 0.0275),
        (500, 0, 0.004, 0.0, 0.0131),
        (500, 5, 0.004, 0.0007, 0.0360),
        (1000, 1000, 0.01, 0.9944, 1.0),
        (100, 50, 0.05, 0.3455, 0.6545),
    ],
)
def test_bounds_of_a_mean(count, total, alpha, low, high):
    """So many values with that sum have a mean between."""
    found = means.lower_bound(count, total, alpha), means.upper_bound(count, total, alpha)
    assert found == (pytest.approx(low, abs=2e-4), pytest.approx(high, abs=2e-4))


@given(st.integers(1, 10**9), st.floats(0, 1), st.sampled_from([0.05, 0.01, 1e-4]))
def test_the_mean_that_was_seen_lies_between_its_bounds(count, mean, alpha):
    """Whatever was counted."""
    total = mean * count
    low, high = means.lower_bound(count, total, alpha), means.upper_bound(count, total, alpha)
    assert 0 <= low <= total / count + 1e-9
    assert total / count - 1e-9 <= high <= 1


@given(st.integers(1, 10**6), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_mean_beyond_its_bound_has_evidence_against_it(count, mean, supposed):
    """Bounds and evidence say the same."""
    total = mean * count
    if means.upper_bound(count, total, 0.01) < supposed * (1 - 1e-3):
        assert means.log_evidence_below(count, total, supposed) >= np.log(100)
    if means.lower_bound(count, total, 0.01) > supposed * (1 + 1e-3):
        assert means.log_evidence_above(count, total, supposed) >= np.log(100)


@pytest.mark.parametrize("kind", ["bernoulli", "beta"])
def test_bounds_hold_at_all_times(kind):
    """Looked at after every value, the evidence against the true mean rarely reaches its limit."""
    rng, runs, mean, alpha = np.random.default_rng(3), 400, 0.05, 0.05
    drawn = rng.random((runs, 600)) < mean if kind == "bernoulli" else rng.beta(0.5, 9.5, (runs, 600))
    totals = drawn.cumsum(axis=1)
    limit = np.log(1 / alpha)
    looks = range(1, 601, 7)
    above = sum(any(means.log_evidence_above(n, run[n - 1], mean) >= limit for n in looks) for run in totals)
    below = sum(any(means.log_evidence_below(n, run[n - 1], mean) >= limit for n in looks) for run in totals)
    assert (above / runs <= 2 * alpha, below / runs <= 2 * alpha) == (True, True)


@pytest.mark.parametrize(("rate", "limit"), [(0.0, 5), (0.001, 5), (0.1, 10), (0.5, 31), (1.0, 2062)])
def test_the_more_stable_fails_the_longer_a_run_must_be(rate, limit):
    """Five in a row are too many where stable hardly fails."""
    assert run_limit(1e-4, rate) == limit
