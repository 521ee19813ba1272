"""What the judge says of a stage."""

import dataclasses

import pytest

from serinus.config.rollout_guardrails import LatencyGuardrail
from serinus.core.windows import ArmWindow, MetricWindow, PairWindow
from serinus.rollout.judging.evidence import Evidence, fold
from serinus.rollout.judging.judge import judge, slow_limit, waits_for
from serinus.rollout.rollout import Judged, Measured, Outcome, Rollout, Verdict
from serinus.telemetry.histogram import BOUNDS_S, Histogram
from tests.support.rollouts import PASS, begun, played, prepared_at
from tests.support.server_windows import calls, known, says

FAIL, INCONCLUSIVE = Outcome.FAIL, Outcome.INCONCLUSIVE
HALF = {"canary": {"weight": 50}}
WHOLE = {"canary": {"weight": 100}}
ERRORS_ALONE = {"latency": {"enabled": False}, "invalid": {"enabled": False}}
WITHOUT_CEILING = {"errors": {"ceiling": None}, **ERRORS_ALONE}
LATER = 100.0
"""Seconds after the stage began: its time is over."""


def of(verdict: Verdict, name: str, version: int = 2):
    """The check of that name."""
    return next(check for check in verdict.checks if (check.name, check.version) == (name, version))


def canary(**guardrails) -> Rollout:
    """A rollout with half of the calls, where slow is more than 100 ms."""
    return played(prepared_at(0.0, HALF, WHOLE, guardrails=guardrails), Measured(0.0, 0.1))


def seen(rollout: Rollout, stables: ArmWindow, candidates: ArmWindow, **more) -> Verdict:
    """The verdict on what one server saw, after the stage's time."""
    return judge(known(rollout, says(rollout, {1: stables, 2: candidates}, **more)), rollout, LATER)


def test_a_healthy_candidate_passes_with_its_calls_and_its_time():
    """All checks have shown that their limits are kept."""
    rollout = canary()
    verdict = seen(rollout, calls(600, 1, 6), calls(600, 1, 5))
    assert [(check.name, check.outcome) for check in verdict.checks] == [
        ("errors", Outcome.PASS),
        ("latency", Outcome.PASS),
        ("invalid", Outcome.PASS),
        ("consecutive", Outcome.PASS),
    ]
    assert (verdict.outcome, verdict.winner) == (Outcome.PASS, 0)
    assert of(verdict, "errors").sentence == (
        "errors: 1 of 600 calls failed, 1 of 600 of stable's; the rate is at most 1.62 %, 5 % is allowed"
    )


@pytest.mark.parametrize(
    ("count", "at", "waits"),
    [(499, 100.0, "499 of 500 calls of m@1.1.0"), (600, 59.0, "59 of 60 s"), (499, -5.0, "0 of 60 s")],
)
def test_neither_calls_nor_time_alone_are_enough(count, at, waits):
    """What is missing is said."""
    rollout = canary()
    evidence = known(rollout, says(rollout, {1: calls(count), 2: calls(count)}))
    verdict = judge(evidence, rollout, at)
    assert verdict.outcome is INCONCLUSIVE
    assert waits in waits_for(evidence, rollout, verdict, at)


def test_a_candidate_that_fails_more_than_stable_fails():
    """With the numbers and the evidence in a sentence."""
    rollout = canary(**WITHOUT_CEILING)
    verdict = seen(rollout, calls(400, 4), calls(400, 30))
    check = of(verdict, "errors")
    assert (verdict.outcome, verdict.reason) == (FAIL, check.sentence)
    assert check.sentence == (
        "errors: 30 of 400 calls failed, 4 of 400 of stable's; evidence 9,834 : 1, the limit is 101 : 1"
    )
    assert (check.candidate, check.baseline, check.count) == (30 / 400, 4 / 400, 400)
    assert check.e_value >= check.limit == pytest.approx(101, abs=0.1)


@pytest.mark.parametrize(
    ("name", "candidates"),
    [("latency", calls(400, slow=40)), ("invalid", calls(400, invalid=12)), ("errors", calls(400, errors=30))],
)
def test_each_rate_has_its_own_check(name, candidates):
    """Only the one that is broken fails."""
    verdict = seen(canary(), calls(400, 1, 4, 0), candidates)
    assert [check.name for check in verdict.checks if check.outcome is FAIL] == [name]
    assert verdict.reason.startswith(f"{name}: ")


def test_a_candidate_above_the_ceiling_fails():
    """Even where few calls of stable are there to compare with."""
    rollout = canary(errors={"ceiling": 0.01}, **ERRORS_ALONE)
    verdict = seen(rollout, calls(20), calls(400, 40))
    assert of(verdict, "errors").outcome is FAIL


def test_stable_above_the_ceiling_too_is_not_held_against_the_candidate():
    """Both fail one call in four: nobody is blamed, and nothing passes."""
    verdict = seen(canary(), calls(400, 100), calls(400, 101))
    check = of(verdict, "errors")
    assert (verdict.outcome, check.outcome) == (INCONCLUSIVE, INCONCLUSIVE)
    assert check.sentence == (
        "errors: 101 of 400 calls failed, 100 of 400 of stable's: stable is above 5 % too, which is not held against"
        " the candidate"
    )


def test_a_candidate_that_looks_worse_waits_below_the_ceiling():
    """There is not enough evidence to fail it, and too much to pass it."""
    rollout = canary(**ERRORS_ALONE)
    verdict = seen(rollout, calls(3000, 30), calls(3000, 63))
    check = of(verdict, "errors")
    assert (check.outcome, check.e_value > 10) == (INCONCLUSIVE, True)
    assert "which looks worse" in check.sentence


def test_without_a_ceiling_enough_must_have_failed_to_compare():
    """No failure at all shows nothing; hundreds that are shared out fairly do."""
    rollout = canary(**WITHOUT_CEILING)
    nothing = of(seen(rollout, calls(10_000), calls(10_000)), "errors")
    assert (nothing.outcome, nothing.bound) == (INCONCLUSIVE, None)
    assert nothing.sentence == (
        "errors: 0 of 10,000 calls failed, 0 of 10,000 of stable's; too few have failed to compare: nothing is known,"
        " 1.5 times is allowed"
    )
    enough = of(seen(rollout, calls(50_000, 500), calls(50_000, 490)), "errors")
    assert (enough.outcome, enough.bound <= enough.bound_limit == 1.5) == (Outcome.PASS, True)


def test_without_calls_nothing_is_known():
    """A canary without traffic waits, whatever time has passed."""
    rollout = canary()
    verdict = judge(known(rollout, says(rollout, {1: calls(10_000)})), rollout, 80_000.0)
    assert verdict.outcome is INCONCLUSIVE
    assert "0 of 500 calls of m@1.1.0" in verdict.reason
    assert "errors: no calls of the candidate yet in this stage" in verdict.reason
    assert judge(Evidence(), rollout, 80_000.0).outcome is INCONCLUSIVE


def test_while_nobody_knows_what_is_slow_nothing_passes():
    """Neither an SLO nor a measurement is there."""
    rollout = prepared_at(0.0, HALF, WHOLE)
    check = of(seen(rollout, calls(900), calls(900)), "latency")
    assert check.outcome is INCONCLUSIVE
    assert check.sentence.startswith("latency: nobody knows what is slow")


def test_a_run_of_failures_fails_at_once():
    """Five in a row of a candidate whose stable is healthy."""
    rollout = canary(**ERRORS_ALONE)
    four = seen(rollout, calls(500), calls(4, 1, run=4))
    assert of(four, "consecutive").outcome is Outcome.PASS
    five = seen(rollout, calls(500), calls(5, 1, run=5))
    assert (five.outcome, of(five, "consecutive").outcome) == (FAIL, FAIL)
    assert of(five, "consecutive").sentence == "consecutive: 5 calls in a row have failed, 5 are too many"


def test_a_run_while_stable_fails_too_blames_nobody():
    """An outage hits both."""
    rollout = canary(**ERRORS_ALONE)
    verdict = seen(rollout, calls(100, 60, run=40), calls(100, 60, run=41))
    assert of(verdict, "consecutive").outcome is not FAIL


def test_a_version_that_a_breaker_keeps_calls_from_does_not_pass():
    """What it would have failed is in no rate, least of all where it has all calls; until the breaker closes again, or
    its server has left."""
    rollout = played(prepared_at(0.0, WHOLE, guardrails=ERRORS_ALONE), Measured(0.0, 0.1))
    verdict = seen(rollout, calls(0), calls(900, 5, run=5), tripped=frozenset({2}))
    check = of(verdict, "consecutive")
    assert (verdict.outcome, check.outcome) == (INCONCLUSIVE, INCONCLUSIVE)
    assert check.sentence.endswith("; breakers of 1 servers keep calls from it")
    assert of(seen(rollout, calls(0), calls(900, 5, run=0)), "consecutive").outcome is Outcome.PASS
    left = seen(rollout, calls(0), calls(900, 5, run=5), tripped=frozenset({2}), has_left=True)
    assert of(left, "consecutive").outcome is Outcome.PASS


def test_a_run_may_be_limited_by_the_operator():
    """Two in a row, if that is what was said."""
    rollout = canary(consecutive=2, **ERRORS_ALONE)
    assert of(seen(rollout, calls(500), calls(2, 1, run=2)), "consecutive").outcome is FAIL


def test_evidence_of_one_stage_counts_in_the_next():
    """Nothing is forgotten when the weight rises."""
    rollout = prepared_at(0.0, {"canary": {"weight": 20}}, HALF, WHOLE, guardrails=WITHOUT_CEILING)
    evidence = known(rollout, says(rollout, {1: calls(800, 8), 2: calls(200, 7)}))
    assert of(judge(evidence, rollout, 1.0), "errors").outcome is INCONCLUSIVE
    after = played(rollout, Judged(LATER, PASS))
    evidence = fold(evidence, after, [says(after, {1: calls(200, 2), 2: calls(200, 14)})], LATER)
    assert judge(evidence, after, LATER).outcome is FAIL
    forgotten = known(after, says(after, {1: calls(200, 2), 2: calls(200, 14)}))
    assert of(judge(forgotten, after, LATER), "errors").outcome is INCONCLUSIVE


def alone(**guardrails) -> tuple[Rollout, Evidence]:
    """A rollout in which the candidate has all calls, after stable had failed 1 of 1000 for a minute."""
    before = prepared_at(0.0, HALF, WHOLE, guardrails=guardrails)
    looks = [says(before, {1: calls(100 * n, n // 10), 2: calls(100 * n, n // 10)}) for n in range(1, 61)]
    rollout = played(before, Judged(LATER, PASS))
    return rollout, fold(known(before, *looks), rollout, (), LATER)


@pytest.mark.parametrize("ceiling", [0.05, None])
def test_where_stable_gets_no_calls_it_is_compared_with_what_it_was(ceiling):
    """Which is said, because it was at another time."""
    rollout, evidence = alone(errors={"ceiling": ceiling}, **ERRORS_ALONE)
    evidence = fold(evidence, rollout, [says(rollout, {2: calls(1000, 1)})], 2 * LATER)
    verdict = judge(evidence, rollout, 2 * LATER)
    assert verdict.outcome is Outcome.PASS
    assert "when it still got calls" in of(verdict, "errors").sentence


@pytest.mark.parametrize("ceiling", [0.05, None])
def test_where_stable_gets_no_calls_a_rise_fails_that_lasts(ceiling):
    """A burst of three looks does not, minutes do, and less where there is a ceiling."""
    rollout, evidence = alone(errors={"ceiling": ceiling}, **ERRORS_ALONE)
    counts, outcomes = (0, 0), []
    for look in range(120 if ceiling is None else 40):
        counts = counts[0] + 100, counts[1] + (50 if look < 3 or look > 9 else 0)
        evidence = fold(evidence, rollout, [says(rollout, {2: calls(*counts)})], LATER + look)
        outcomes.append(judge(evidence, rollout, LATER + look).outcome)
    assert FAIL not in outcomes[:10]
    assert outcomes[-1] is FAIL


def test_where_stable_was_never_measured_there_is_nothing_to_compare_with():
    """Without a ceiling, a switch of all calls at once cannot pass then."""
    rollout = prepared_at(0.0, {"blue_green": {"keep_s": 10}}, guardrails=WITHOUT_CEILING)
    evidence = known(rollout, says(rollout, {2: calls(1000)}))
    assert "stable was measured too little" in judge(evidence, rollout, LATER).reason


def test_a_switch_is_compared_with_stable_while_the_candidate_was_loaded():
    """Those calls are all that there is."""
    before = begun({"blue_green": {"keep_s": 10}}, guardrails=WITHOUT_CEILING)
    evidence = known(before, says(before, {1: calls(5000, 5)}))
    rollout = prepared_at(0.0, {"blue_green": {"keep_s": 10}}, guardrails=WITHOUT_CEILING)
    good = fold(evidence, rollout, [says(rollout, {2: calls(1000, 1)}, server="two")], 20.0)
    assert judge(good, rollout, 20.0).outcome is Outcome.PASS


def test_a_switch_to_what_is_dead_fails_within_a_hundred_calls():
    """Nothing good comes any more."""
    rollout = prepared_at(0.0, {"blue_green": {}}, guardrails=WITHOUT_CEILING)
    assert judge(known(rollout, says(rollout, {2: calls(100, 100, run=100)})), rollout, 1.0).outcome is FAIL


@pytest.mark.parametrize(
    ("pairs", "outcome"),
    [
        (PairWindow(400, 2), Outcome.PASS),
        (PairWindow(199), INCONCLUSIVE),
        (PairWindow(300, 15), INCONCLUSIVE),
        (PairWindow(300, 45, 3), FAIL),
        (PairWindow(), INCONCLUSIVE),
    ],
)
def test_a_shadow_is_judged_by_its_disagreements(pairs, outcome):
    """At most 5 % may differ, beyond doubt."""
    rollout = prepared_at(0.0, {"shadow": {}}, HALF, WHOLE)
    verdict = judge(known(rollout, says(rollout, pairs=pairs)), rollout, LATER)
    assert (verdict.outcome, [check.name for check in verdict.checks]) == (outcome, ["disagreement"])


def test_a_shadow_that_fails_says_so():
    """Calls that it did not answer are said apart."""
    rollout = prepared_at(0.0, {"shadow": {}}, HALF, WHOLE)
    verdict = judge(known(rollout, says(rollout, pairs=PairWindow(300, 45, 3))), rollout, LATER)
    assert verdict.reason.startswith(
        "disagreement: 45 of 300 mirrored calls are answered differently, 3 of them not at all, 5 % is allowed;"
        " evidence 76,358,105 : 1, the limit is 100 : 1"
    )


def metric(**said) -> Rollout:
    """A rollout with a metric from 0 to 1."""
    guardrail = {"name": "clicks", "higher_is": "better", "margin": 0.1, **said}
    return canary(metrics=[guardrail], **ERRORS_ALONE)


@pytest.mark.parametrize(
    ("said", "stables", "candidates", "outcome"),
    [
        ({}, MetricWindow(4000, 2000.0), MetricWindow(4000, 1990.0), Outcome.PASS),
        ({}, MetricWindow(2000, 1000.0), MetricWindow(2000, 500.0), FAIL),
        ({}, MetricWindow(20, 10.0), MetricWindow(20, 8.0), INCONCLUSIVE),
        ({}, MetricWindow(2000, 1000.0), MetricWindow(), INCONCLUSIVE),
        ({"required": False}, MetricWindow(2000, 1000.0), MetricWindow(), Outcome.PASS),
        ({}, MetricWindow(), MetricWindow(2000, 1000.0), INCONCLUSIVE),
        ({"limit": 0.4}, MetricWindow(), MetricWindow(2000, 1000.0), Outcome.PASS),
        ({"limit": 0.6}, MetricWindow(9, 9.0), MetricWindow(2000, 1000.0), FAIL),
        ({"limit": 0.6}, MetricWindow(2000, 1000.0), MetricWindow(2000, 1000.0), Outcome.PASS),
        ({"higher_is": "worse"}, MetricWindow(2000, 500.0), MetricWindow(2000, 1000.0), FAIL),
        ({"higher_is": "worse"}, MetricWindow(2000, 1000.0), MetricWindow(2000, 500.0), Outcome.PASS),
        ({"lowest": -10, "highest": 10, "margin": 2}, MetricWindow(2000, 0.0), MetricWindow(2000, -8000.0), FAIL),
    ],
)
def test_a_metric_is_compared_with_stables(said, stables, candidates, outcome):
    """In its own direction and unit, by what was reported."""
    rollout = metric(**said)
    reported = {number: each for number, each in ((1, stables), (2, candidates)) if each.count}
    verdict = seen(rollout, calls(600), calls(600), metrics={"clicks": reported})
    assert (of(verdict, "clicks").outcome, verdict.outcome) == (outcome, outcome)


def test_a_metric_says_its_numbers():
    """Means, how much worse it may be, and the evidence."""
    reported = {1: MetricWindow(4000, 2000.0), 2: MetricWindow(4000, 1980.0)}
    check = of(seen(metric(), calls(600), calls(600), metrics={"clicks": reported}), "clicks")
    assert check.sentence.startswith("clicks: 0.495 in 4,000 reports, 0.5 in 4,000 of stable; at most 0.0")
    assert (check.candidate, check.baseline, check.bound_limit) == (0.495, 0.5, 0.1)


def test_a_sum_that_is_no_number_passes_nothing():
    """Whatever else was reported."""
    rollout = metric()
    good = {"clicks": {1: MetricWindow(2000, 1000.0), 2: MetricWindow(2000, 990.0)}}
    bad = says(rollout, metrics={"clicks": {2: MetricWindow(1, float("nan"))}}, server="two")
    evidence = known(rollout, [says(rollout, {1: calls(600), 2: calls(600)}, metrics=good), bad])
    assert of(judge(evidence, rollout, LATER), "clicks").outcome is INCONCLUSIVE


def test_an_approval_waits_for_a_person_and_still_fails():
    """At the weight that was reached."""
    rollout = prepared_at(0.0, HALF, {"approval": {"note": "look at the drift"}}, WHOLE, guardrails=WITHOUT_CEILING)
    rollout = played(rollout, Judged(LATER, PASS))
    good = known(rollout, says(rollout, {1: calls(900), 2: calls(900)}))
    verdict = judge(good, rollout, 9999.0)
    assert (verdict.outcome, waits_for(good, rollout, verdict, 9999.0)) == (
        INCONCLUSIVE,
        ("a person: look at the drift",),
    )
    bad = known(rollout, says(rollout, {1: calls(900), 2: calls(900, 90)}))
    assert judge(bad, rollout, 9999.0).outcome is FAIL


TEST = {
    "ab": {
        "arms": [{"version": "1.1.0", "weight": 30}, {"version": "1.2.0", "weight": 30}],
        "min_requests": 500,
        "min_s": 60,
    }
}


def contested(means: tuple[float, ...], count: int) -> Verdict:
    """The verdict on a test by a metric that fails nobody, with these means of stable and two arms."""
    guardrails = {"metrics": [{"name": "clicks", "higher_is": "better", "margin": 1}], **ERRORS_ALONE}
    rollout = prepared_at(0.0, {"ab": {**TEST["ab"], "metric": "clicks"}}, guardrails=guardrails)
    reported = {number: MetricWindow(count, count * mean) for number, mean in enumerate(means, 1)}
    window = says(rollout, dict.fromkeys(reported, calls(count)), metrics={"clicks": reported})
    return judge(known(rollout, window), rollout, LATER)


@pytest.mark.parametrize(
    ("means", "count", "winner"),
    [
        ((0.5, 0.5, 0.8), 900, 3),
        ((0.8, 0.5, 0.5), 900, 1),
        ((0.5, 0.5, 0.5), 900, 0),
        ((0.5, 0.8, 0.8), 900, 0),
        ((0.5, 0.5, 0.8), 499, 0),
    ],
)
def test_a_test_is_won_by_the_arm_that_is_better_beyond_doubt(means, count, winner):
    """Which may be stable; nobody wins before the minima."""
    verdict = contested(means, count)
    assert (verdict.winner, verdict.outcome) == (winner, Outcome.PASS if winner else INCONCLUSIVE)
    assert [check.version for check in verdict.checks if check.name == "interval"] == [2, 3, 1]


def test_a_test_without_a_winner_says_so():
    """After its calls and its time it still waits."""
    verdict = contested((0.5, 0.5, 0.5), 900)
    assert verdict.reason == "no arm is better than all others beyond doubt"


def test_each_arm_of_a_test_has_its_guardrails():
    """An arm that fails more than stable fails the test."""
    rollout = prepared_at(0.0, TEST, guardrails=WITHOUT_CEILING)
    verdict = judge(known(rollout, says(rollout, {1: calls(900), 2: calls(900), 3: calls(900, 50)})), rollout, 1.0)
    assert [(check.name, check.version) for check in verdict.checks if check.outcome is FAIL] == [("errors", 3)]


def test_a_test_says_where_each_arm_lies():
    """By the metric of the test, in its own unit."""
    sentences = [check.sentence for check in contested((0.5, 0.5, 0.8), 900).checks if check.name == "interval"]
    assert sentences[1].startswith("clicks of m@1.2.0: 0.8, between 0.7")
    assert sentences[1].endswith(", 900 counted")


def test_alpha_is_shared_out_among_checks_and_candidates():
    """All error probabilities together are alpha."""
    arms = {number: calls(10) for number in (1, 2, 3)}
    for rollout in (canary(), played(prepared_at(0.0, TEST), Measured(0.0, 0.1))):
        verdict = judge(known(rollout, says(rollout, arms)), rollout, 1.0)
        spent = sum(1 / check.limit for check in verdict.checks if check.name != "interval")
        assert spent == pytest.approx(0.01)


def test_what_is_slow_is_known_after_two_hundred_calls_of_stable():
    """Its p99, rounded up to the bound of its bucket, and what is allowed on top."""
    rollout = prepared_at(0.0, HALF, WHOLE)
    guardrail = LatencyGuardrail(slack=0.5)
    latency = Histogram()
    for milliseconds in range(1, 200):
        latency.observe(milliseconds / 1000)
    few = known(rollout, says(rollout, {1: calls(199, latency=tuple(latency.counts))}))
    assert slow_limit(few, guardrail) is None
    latency.observe(0.2)
    enough = known(rollout, says(rollout, {1: calls(200, latency=tuple(latency.counts)), 2: calls(5)}))
    assert slow_limit(enough, guardrail) in {1.5 * bound for bound in BOUNDS_S if 0.198 <= bound <= 0.198 * 1.19}


def test_a_verdict_is_a_function_of_its_arguments():
    """Judging again says the same."""
    rollout = canary()
    evidence = known(rollout, says(rollout, {1: calls(600, 1, 6), 2: calls(600, 1, 5)}))
    assert judge(evidence, rollout, LATER) == judge(dataclasses.replace(evidence), rollout, LATER)
