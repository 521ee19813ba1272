"""A plan that is played against assumed versions."""

import dataclasses

import pytest

from serinus.config.rollout_spec import RolloutSpec
from serinus.rollout.simulation.simulation import Played, exact_interval, play, simulate, summary
from serinus.rollout.simulation.values import Assumed, Simulated

USUAL = Assumed(error_rate=0.001, slow_rate=0.01)
PLAN = RolloutSpec(model="m", candidate="1.1.0")


def plan(*stages, **said) -> RolloutSpec:
    """A plan with these stages."""
    return RolloutSpec.model_validate({"model": "m", "candidate": "1.1.0", "stages": stages, **said})


def test_a_healthy_version_is_promoted():
    """By the default plan, after its calls and its time."""
    found = simulate(PLAN, USUAL, USUAL, rate=50, runs=10, seed=1)
    assert (found.outcomes["succeeded"][0], found.failed_by) == (1.0, {})
    assert found.seconds_p50 > 30 + 4 * 60
    assert found.exposed_p50 > 4 * 500


@pytest.mark.parametrize(
    ("worse", "name"),
    [
        ({"error_rate": 0.1}, "errors"),
        ({"slow_rate": 0.2}, "latency"),
        ({"invalid_rate": 0.2}, "invalid"),
        ({"disagreement_rate": 0.3}, "disagreement"),
    ],
)
def test_a_bad_version_is_rolled_back_for_what_is_bad_about_it(worse, name):
    """After few calls."""
    found = simulate(PLAN, USUAL, dataclasses.replace(USUAL, **worse), rate=50, runs=10, seed=1)
    assert found.outcomes["rolled_back"][0] == 1.0
    assert max(found.failed_by, key=lambda each: found.failed_by[each]) == name
    assert found.exposed_p90 < 200


def test_a_version_that_is_dead_is_rolled_back_within_its_warm_up_and_a_few_calls():
    """Five in a row are enough."""
    found = simulate(PLAN, USUAL, Assumed(error_rate=1.0), rate=50, runs=10, seed=1)
    assert (found.outcomes["rolled_back"][0], found.exposed_p90 <= 25) == (1.0, True)


def test_too_little_traffic_ends_with_a_person_or_rolls_back():
    """As the plan says."""
    stages = [{"canary": {"weight": 100, "max_s": 600}}]
    waiting = simulate(plan(*stages), USUAL, USUAL, rate=0.1, runs=3, seed=1)
    assert waiting.outcomes["waiting"][0] == 1.0
    assert waiting.seconds_p90 == 600
    back = simulate(plan(*stages, on_inconclusive="rollback"), USUAL, USUAL, rate=0.1, runs=3, seed=1)
    assert (back.outcomes["rolled_back"][0], back.failed_by) == (1.0, {"inconclusive": 1.0})


def test_approvals_are_given_at_once():
    """Only what waits for a decision ends a run."""
    stages = [{"shadow": {}}, {"approval": {}}, {"blue_green": {"keep_s": 30}}]
    assert simulate(plan(*stages), USUAL, USUAL, rate=50, runs=3, seed=1).outcomes["succeeded"][0] == 1.0


def test_metrics_are_reported_with_each_call():
    """A version that is worse by them is rolled back."""
    metric = {"name": "clicks", "higher_is": "better", "margin": 0.1}
    spec = plan({"canary": {"weight": 50}}, {"canary": {"weight": 100}}, guardrails={"metrics": [metric]})
    good = dataclasses.replace(USUAL, metric_means={"clicks": 0.5})
    bad = dataclasses.replace(USUAL, metric_means={"clicks": 0.2})
    assert simulate(spec, good, good, rate=50, runs=3, seed=1).outcomes["succeeded"][0] == 1.0
    assert simulate(spec, good, bad, rate=50, runs=3, seed=1).failed_by == {"clicks": 1.0}


def test_a_test_is_won_by_better_arms_or_waits():
    """All arms are alike, so nobody wins; if stable is worse, they are tied too."""
    test = {"ab": {"arms": [{"version": "1.1.0", "weight": 30}, {"version": "1.2.0", "weight": 30}], "max_s": 7200}}
    spec = RolloutSpec.model_validate({"model": "m", "stages": [test]})
    assert simulate(spec, USUAL, USUAL, rate=10, runs=2, seed=1).outcomes["waiting"][0] == 1.0


def test_the_same_seed_plays_the_same():
    """And a run is the same, however many are played."""
    one, other = (simulate(PLAN, USUAL, USUAL, rate=50, runs=3, seed=9) for _ in range(2))
    assert one == other
    assert play(PLAN, USUAL, USUAL, rate=50, seed=(9, 1)) == play(PLAN, USUAL, USUAL, rate=50, seed=(9, 1))


def test_a_simulation_ends_when_whoever_is_told_of_its_progress_raises():
    """Between two runs."""
    told = []

    def end_after_two(done: int) -> None:
        told.append(done)
        if done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        simulate(PLAN, USUAL, Assumed(error_rate=1.0), rate=50, runs=100, seed=1, progress=end_after_two)
    assert told == [1, 2]


def test_runs_are_summed_up():
    """Shares with their exact intervals, and quantiles that were really played."""
    runs = [Played("succeeded", 10 * n, float(n), "") for n in range(1, 9)]
    runs += [Played("rolled_back", 7, 3.0, "errors"), Played("rolled_back", 9, 4.0, "latency")]
    assert summary(runs) == Simulated(
        runs=10,
        outcomes={
            "succeeded": (0.8, *exact_interval(8, 10)),
            "rolled_back": (0.2, *exact_interval(2, 10)),
            "waiting": (0.0, *exact_interval(0, 10)),
        },
        exposed_p50=30,
        exposed_p90=70,
        seconds_p50=4.0,
        seconds_p90=7.0,
        failed_by={"errors": 0.5, "latency": 0.5},
    )


@pytest.mark.parametrize(
    ("hits", "runs", "low", "high"), [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (5, 10, 0.1871, 0.8129)]
)
def test_exact_intervals(hits, runs, low, high):
    """As in tables of Clopper and Pearson."""
    assert exact_interval(hits, runs) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
