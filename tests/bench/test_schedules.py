"""When calls are due."""

import numpy as np
import pytest

from serinus.bench.schedules import bursts, constant, one_after_another, poisson, ramp


def rng():
    return np.random.default_rng(1)


def test_a_constant_rate_is_even():
    """From the start, one interval apart."""
    assert constant(4, 1.5)(rng()).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]


def test_independent_calls_come_at_the_rate_and_vary_as_such_calls_do():
    """The gaps of a Poisson process spread as widely as they are long."""
    times = poisson(1000, 20)(rng())
    gaps = np.diff(times)
    assert abs(len(times) - 20_000) < 4 * 20_000**0.5
    assert gaps.min() >= 0
    assert times[-1] < 20
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)


def test_the_same_generator_gives_the_same_calls():
    """A run can be made again."""
    assert poisson(50, 2)(rng()).tolist() == poisson(50, 2)(rng()).tolist()


def test_bursts_come_at_one_instant_and_at_the_rate_in_all():
    """Each time as often as a burst has calls."""
    times, counts = np.unique(bursts(1000, 10, size=20)(rng()), return_counts=True)
    assert set(counts.tolist()) == {20}
    assert abs(len(times) - 500) < 4 * 500**0.5


def test_a_ramp_rises_evenly():
    """Its last quarter has seven times the calls of its first one."""
    counts, _ = np.histogram(ramp(0, 1000, 40)(rng()), 4, (0, 40))
    assert counts.sum() == pytest.approx(20_000, rel=0.05)
    assert counts[3] / counts[0] == pytest.approx(7, rel=0.1)


def test_a_part_begins_when_the_one_before_it_ends():
    """An overload, and the calm after it."""
    assert one_after_another((constant(2, 1), 1.0), (constant(1, 2), 2.0))(rng()).tolist() == [0.0, 0.5, 1.0, 2.0]


@pytest.mark.parametrize(("rate", "duration"), [(0, 1), (-1, 1), (1, 0), (float("nan"), 1), (1, float("inf"))])
def test_a_rate_or_a_time_that_cannot_be_is_refused(rate, duration):
    """Before anything is drawn."""
    with pytest.raises(ValueError, match="expected more than 0"):
        poisson(rate, duration)


def test_more_calls_than_can_be_noted_are_refused():
    """A typing error should not fill the memory."""
    with pytest.raises(ValueError, match="expected at most 2000000 calls, got 10000000"):
        constant(1e6, 10)


def test_a_burst_has_a_call_at_least():
    """None would be no schedule."""
    with pytest.raises(ValueError, match="expected at least 1, got 0"):
        bursts(1, 1, size=0)
