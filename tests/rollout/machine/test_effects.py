"""What is in force at each place that a rollout can stand."""

import dataclasses

import pytest

from serinus.core.traffic import Arm, Likeness, Measure, MirrorPlan, Observation, Rule, TrafficSplit
from serinus.rollout.machine.effects import effects, is_exposed
from serinus.rollout.machine.machine import advance
from serinus.rollout.rollout import Abort, Effects, Followed, ForcePromote, Judged, Measured, Pause, Prepared, Rollout
from tests.support.rollouts import (
    BASELINE,
    CANDIDATE,
    FAIL,
    INCONCLUSIVE,
    OTHER,
    PASS,
    TEST,
    begun,
    played,
    prepared_at,
)

SHADOW = {"shadow": {"percent": 12.5, "measure": "class", "timeout_s": 2}}
FIVE = {"canary": {"weight": 5}}
WHOLE = {"canary": {"weight": 100}}
ASK = {"approval": {}}
SWITCH = {"blue_green": {}}
BETA = {"attribute": "cohort", "values": ["beta", "staff"]}
TO_CANDIDATE = Rule("cohort", frozenset({"beta", "staff"}), CANDIDATE)
NOTHING = Effects(None, owns=False)


def split_of(rollout: Rollout, *weights: int, **more) -> TrafficSplit:
    """The split with these weights, the baseline's last."""
    versions = (*rollout.candidates[: len(weights) - 1], BASELINE)
    return TrafficSplit(
        salt="salt",
        arms=tuple(Arm(version, weight) for version, weight in zip(versions, weights, strict=True)),
        observation=Observation("r", rollout.segment, rollout.slow_s, skip_first=10),
        **more,
    )


def next_stage(rollout: Rollout) -> Rollout:
    """The rollout one stage on."""
    return advance(rollout, Judged(rollout.stage_at + 1000, PASS))


def test_candidates_without_calls_are_named_so_that_they_are_loaded():
    """No rule sends anybody there before the first stage."""
    rollout = begun(FIVE, WHOLE, rules=[BETA])
    assert effects(rollout) == Effects(split_of(rollout, 0, 10_000))
    test = begun(TEST)
    assert effects(test) == Effects(split_of(test, 0, 0, 10_000))
    assert not is_exposed(rollout)


def test_a_shadow_gets_copies_and_no_calls():
    """Of the share, for the time and by the measure that the stage says; rules hold later."""
    rollout = prepared_at(10, SHADOW, WHOLE, rules=[BETA])
    mirror = MirrorPlan(CANDIDATE, 1250, Likeness(Measure.CLASS), timeout_s=2)
    assert effects(rollout) == Effects(split_of(rollout, 0, 10_000, mirror=mirror))
    assert is_exposed(rollout)


def test_a_canary_gets_its_weight_and_those_whom_rules_send():
    """The share of the keys that it had stays its own."""
    five = prepared_at(10, FIVE, WHOLE, rules=[BETA, {**BETA, "version": "stable"}])
    rules = (TO_CANDIDATE, dataclasses.replace(TO_CANDIDATE, version=BASELINE))
    assert effects(five) == Effects(split_of(five, 500, 9500, rules=rules))
    whole = next_stage(five)
    assert effects(whole) == Effects(split_of(whole, 10_000, 0, rules=rules))


def test_what_is_observed_is_what_the_operator_said():
    """Limits, warm-up and ranges; and whether the baseline rescues calls."""
    rollout = prepared_at(
        10, FIVE, WHOLE, guardrails={"invalid": {"ranges": {"y": [0, 1]}}}, warm_up_requests=3, rescue=False
    )
    rollout = advance(rollout, Measured(20, 0.25))
    split = effects(rollout).split
    assert split is not None
    assert split.observation == Observation("r", 2, slow_s=0.25, skip_first=3, ranges={"y": (0, 1)})
    assert not split.rescue


def test_an_approval_before_any_call_gives_none():
    """Nobody, not even by a rule, reaches what somebody still has to approve."""
    rollout = prepared_at(10, ASK, FIVE, WHOLE, rules=[BETA])
    assert effects(rollout) == Effects(split_of(rollout, 0, 10_000))
    assert not is_exposed(rollout)


@pytest.mark.parametrize("stage", [ASK, SHADOW])
def test_a_stage_without_a_weight_of_its_own_keeps_the_one_before(stage):
    """A weight never falls by itself."""
    rollout = next_stage(prepared_at(10, FIVE, stage, WHOLE, rules=[BETA]))
    mirror = MirrorPlan(CANDIDATE, 1250, Likeness(Measure.CLASS), timeout_s=2) if stage is SHADOW else None
    assert effects(rollout) == Effects(split_of(rollout, 500, 9500, rules=(TO_CANDIDATE,), mirror=mirror))
    assert is_exposed(rollout)


def test_a_switch_moves_all_calls_and_stable_and_keeps_the_old_version():
    """In one write."""
    rollout = prepared_at(10, SWITCH)
    assert effects(rollout) == Effects(split_of(rollout, 10_000, 0), kept=(BASELINE,), stable=CANDIDATE)


def test_the_arms_of_a_test_share_the_calls_with_stable():
    """In their order, stable last; rules name them as the test does."""
    rollout = prepared_at(10, TEST, rules=[{**BETA, "version": "1.2.0"}, {**BETA, "version": "stable"}])
    rules = (dataclasses.replace(TO_CANDIDATE, version=OTHER), dataclasses.replace(TO_CANDIDATE, version=BASELINE))
    assert effects(rollout) == Effects(split_of(rollout, 2000, 3000, 5000, rules=rules))


@pytest.mark.parametrize("stages", [(SHADOW, WHOLE), (FIVE, WHOLE), (SWITCH,), (TEST,)])
@pytest.mark.parametrize("event", [Pause(20, "bob"), Judged(1e9, INCONCLUSIVE)])
def test_whoever_waits_keeps_what_it_has(stages, event):
    """Paused, held, and over are the clock's; the calls go where they went."""
    rollout = prepared_at(10, *stages)
    assert effects(advance(rollout, event)) == effects(rollout)


@pytest.mark.parametrize("stages", [(SHADOW, WHOLE), (FIVE, WHOLE), (TEST,)])
def test_a_failing_rollout_names_the_baseline_alone(stages):
    """It is loaded and gets everything; servers go on saying what they act by."""
    rollout = advance(prepared_at(10, *stages, rules=[] if stages[0] is TEST else [BETA]), Judged(20, FAIL))
    assert effects(rollout) == Effects(split_of(rollout, 10_000))
    assert not is_exposed(rollout)


def test_a_switch_that_fails_takes_stable_back():
    """In the write that takes the calls back; what was never switched leaves `stable` alone."""
    failing = advance(prepared_at(10, SWITCH), Judged(20, FAIL))
    assert effects(failing) == Effects(split_of(failing, 10_000), stable=BASELINE)
    unswitched = advance(begun(SWITCH), Judged(20, FAIL))
    assert effects(unswitched) == Effects(split_of(unswitched, 10_000))


def test_an_abort_takes_stable_back_and_leaves_nothing():
    """The next rollout may begin."""
    abort = Abort(20, "bob")
    assert effects(advance(prepared_at(10, FIVE, WHOLE), abort)) == NOTHING
    assert effects(advance(begun(SWITCH), abort)) == NOTHING
    assert effects(advance(prepared_at(10, SWITCH), abort)) == Effects(None, stable=BASELINE, owns=False)


def test_what_was_rolled_back_owns_nothing():
    """`stable` was taken back before, and may be anybody's since."""
    for stage in (WHOLE, SWITCH):
        rollout = played(prepared_at(10, stage), Judged(20, FAIL), Followed(21))
        assert effects(rollout) == NOTHING
        assert not is_exposed(rollout)


def test_who_succeeded_is_stable_and_needs_no_split():
    """A plan that only compares leaves `stable` alone."""
    assert effects(next_stage(prepared_at(10, WHOLE))) == Effects(None, stable=CANDIDATE, owns=False)
    assert effects(next_stage(prepared_at(10, SWITCH))) == Effects(None, stable=CANDIDATE, owns=False)
    forced = played(begun(TEST), Prepared(10), ForcePromote(20, "bob", OTHER.number))
    assert effects(forced) == Effects(None, stable=OTHER, owns=False)
    assert effects(next_stage(prepared_at(10, SHADOW))) == NOTHING
