"""Histograms: what is counted where, and how near a quantile comes."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.telemetry.histogram import BOUNDS_S, Histogram, quantile_of

DURATIONS = st.floats(min_value=1.001e-6, max_value=130.0)
ONE_BUCKET = 2 ** (1 / 4)


def filled(*durations: float) -> Histogram:
    histogram = Histogram()
    for seconds in durations:
        histogram.observe(seconds)
    return histogram


def test_bounds_double_every_four_buckets_from_a_microsecond_to_two_minutes():
    """The bounds are log-spaced, ascending, and one list longer by the bucket without a bound."""
    assert BOUNDS_S[::4] == tuple(1e-6 * 2**power for power in range(28))
    assert all(high / low == pytest.approx(ONE_BUCKET) for low, high in itertools.pairwise(BOUNDS_S))
    assert len(Histogram().counts) == len(Histogram.bounds_s) + 1


@pytest.mark.parametrize("index", [0, 1, 50, len(BOUNDS_S) - 1])
def test_a_bound_belongs_to_the_bucket_below_it(index: int):
    """Bounds are inclusive, as Prometheus's `le` is."""
    histogram = filled(BOUNDS_S[index], math.nextafter(BOUNDS_S[index], math.inf))
    assert {place: count for place, count in enumerate(histogram.counts) if count} == {index: 1, index + 1: 1}


@pytest.mark.parametrize("seconds", [math.nan, -1.0, -math.inf, 0.0, -0.0])
def test_what_is_no_duration_counts_as_zero(seconds: float):
    """A broken clock shows as an observation of 0 and leaves the sum alone."""
    histogram = filled(seconds, 0.5)
    assert (histogram.counts[0], histogram.count, histogram.sum_s) == (1, 2, 0.5)


def test_an_endless_duration_counts_above_every_bound():
    """Infinity lands in the last bucket and does not make the sum infinite."""
    histogram = filled(math.inf, 1000.0)
    assert (histogram.counts[-1], histogram.sum_s, histogram.quantile(0.5)) == (2, 1000.0, BOUNDS_S[-1])


def test_an_empty_histogram_has_quantile_zero():
    """Nothing observed reads as 0, not as NaN, which JSON does not have."""
    assert [Histogram().quantile(q) for q in (0.0, 0.5, 1.0)] == [0.0, 0.0, 0.0]


@settings(deadline=None)  # a busy machine is no bug
@given(st.lists(DURATIONS, min_size=1, max_size=300), st.floats(0.0, 1.0))
def test_a_quantile_is_within_a_bucket_of_the_exact_one(durations: list[float], q: float):
    """The order statistic of the same rank and the interpolated value share a bucket."""
    exact = float(np.quantile(durations, q, method="inverted_cdf"))
    assert exact / ONE_BUCKET * 0.999 <= filled(*durations).quantile(q) <= exact * ONE_BUCKET * 1.001


@settings(deadline=None)  # a busy machine is no bug
@given(st.lists(st.floats()), st.lists(st.floats(0.0, 1.0), min_size=2))
def test_quantiles_rise_with_q_whatever_was_observed(durations: list[float], qs: list[float]):
    """A higher share never has a lower quantile, and every observation is counted once."""
    histogram = filled(*durations)
    quantiles = [histogram.quantile(q) for q in sorted(qs)]
    assert quantiles == sorted(quantiles)
    assert histogram.count == len(durations)
    assert math.isfinite(histogram.sum_s) or sum(seconds for seconds in durations if 0 < seconds < math.inf) == math.inf


def test_percentiles_of_a_usual_latency_distribution_are_close():
    """p50, p90 and p99 of log-normal latencies come within 5 % of numpy's."""
    latencies = np.random.default_rng(7).lognormal(mean=-5.0, sigma=0.6, size=20_000)
    histogram = filled(*latencies)
    for q in (0.5, 0.9, 0.99):
        assert histogram.quantile(q) == pytest.approx(float(np.quantile(latencies, q)), rel=0.05)
    assert histogram.sum_s == pytest.approx(float(latencies.sum()))


def test_the_difference_of_two_readings_has_quantiles_of_its_own():
    """A live view subtracts counts to see only what happened in between."""
    histogram = filled(*[0.001] * 100)
    before = histogram.counts.copy()
    for _ in range(10):
        histogram.observe(1.0)
    between = [now - then for now, then in zip(histogram.counts, before, strict=True)]
    assert 1.0 / ONE_BUCKET <= quantile_of(between, 0.5) <= 1.0 * ONE_BUCKET
