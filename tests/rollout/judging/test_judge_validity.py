"""How often the judge is wrong; the short version of `benchmarks/rollout_judge.py`, in fixed draws."""

import numpy as np
import pytest

from benchmarks.judging import looks, measure, naive
from benchmarks.judging.rollouts import Habits, play
from benchmarks.judging.weighing import alarms, exposed_until_alarm
from serinus.rollout.rollout import Status
from serinus.rollout.simulation.simulation import exact_interval, simulate
from serinus.rollout.simulation.values import Assumed

RUNS = 1000
ALPHA = measure.ALPHA


def check_is_rare(found: int) -> None:
    """False alarms are at most 2 alpha, with the upper end of their exact 95 % interval."""
    assert exact_interval(found, RUNS)[1] <= 2 * ALPHA


@pytest.mark.parametrize(("weight", "failing"), [(0.05, 0.01), (0.05, 0.2), (0.5, 0.05)])
def test_healthy_versions_are_rarely_blamed_however_often_it_is_looked(weight, failing):
    """After each of thousands of calls."""
    rng = np.random.default_rng(1)
    each = looks.single_calls(RUNS, 5000, rng, weight=weight, candidate=failing, baseline=failing)
    check_is_rare(alarms(each, RUNS, ALPHA))


def test_bursts_that_hit_both_are_rarely_blamed_while_the_weight_rises():
    """A dependency fails six calls in ten for a while, again and again."""
    each = looks.bursts(RUNS, 8000, np.random.default_rng(2), weights=(0.05, 0.1, 0.5))
    check_is_rare(alarms(each, RUNS, ALPHA))


@pytest.mark.parametrize("heavy", ["", "baseline", "candidate"])
def test_sticky_callers_are_rarely_blamed_whoever_calls_most(heavy):
    """Zipf, and one with 30 % of all calls on either side."""
    rng = np.random.default_rng(3)
    callers = looks.zipf_callers(RUNS, rng, callers=150, rate=300, weight=0.1, heavy=heavy)
    check_is_rare(alarms(looks.sticky_trials(callers, 300, rng, failing=0.03), RUNS, ALPHA))


def test_naive_rules_fail_the_same_test():
    """A ratio in windows nearly always, a z-test that is looked at again and again in every third rollout."""
    rng = np.random.default_rng(4)
    by_ratio = naive.ratio_alarms(RUNS, rng, weight=0.05, failing=0.01)
    by_test = naive.z_test_alarms(RUNS, rng, weight=0.05, failing=0.01)
    assert (by_ratio / RUNS > 0.95, 0.25 < by_test / RUNS < 0.45) == (True, True)


def test_counting_all_calls_and_one_failure_a_second_fails_it_too():
    """One caller of stable's then makes healthy candidates look bad: why one call of a key and second is judged."""
    rng = np.random.default_rng(5)
    callers = looks.zipf_callers(200, rng, callers=150, rate=1000, weight=0.1, heavy="baseline")
    assert alarms(looks.sticky_calls(callers, 300, rng, failing=0.02), 200, ALPHA) > 100


@pytest.mark.parametrize(("failing", "median"), [(0.1, 17), (0.02, 131), (0.005, 1552)])
def test_errors_are_noticed_after_as_many_calls_as_in_theory(failing, median):
    """With the weight for the share; the realised one costs a fifth more where each call is looked at."""
    for weight, most in ((0.05, 1.25), (None, 1.6)):
        every = looks.windows(
            200, 8000, np.random.default_rng(6), calls=20, weight=0.05, candidate=failing, baseline=0.001
        )
        found = exposed_until_alarm(every, 200, ALPHA, weight)
        assert 0.75 * median <= np.median(np.where(found < 0, np.inf, found)) <= most * median


def test_three_errors_where_stable_has_one_are_caught_in_every_rollout():
    """By the default plan; most of them before a tenth of the calls is moved."""
    found = simulate(measure.SPEC, Assumed(0.01, 0.01), Assumed(0.03, 0.01), rate=50, runs=150, seed=7)
    assert found.outcomes["rolled_back"][0] == 1.0
    assert set(found.failed_by) == {"errors"}


@pytest.mark.parametrize(
    "habits",
    [
        Habits(rate=100, failing=0.01),
        Habits(rate=100, burst=0.5),
        Habits(rate=300, callers=300, heavy="baseline"),
        Habits(rate=300, callers=300, heavy="candidate", burst=0.5),
    ],
)
def test_whole_rollouts_of_healthy_versions_end_well(habits):
    """All checks, all stages, judged each second."""
    assert [play(measure.SPEC, habits, (8, run))[0].status for run in range(6)] == [Status.SUCCEEDED] * 6
