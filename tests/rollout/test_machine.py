"""Every transition, by table: where the rollout stands, what happens, and what of it is other afterwards."""

import dataclasses

import pytest

from serinus.rollout.machine import CONFIRMED_AFTER_S, advance
from serinus.rollout.rollout import (
    Abort,
    Broken,
    Followed,
    ForcePromote,
    Judged,
    Measured,
    Outcome,
    Pause,
    Prepared,
    Promote,
    Resume,
    ServerLost,
    Status,
    Verdict,
)
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

SHADOW = {"shadow": {"percent": 10, "min_s": 30, "max_s": 300}}
FIVE = {"canary": {"weight": 5, "min_s": 60, "max_s": 600}}
WHOLE = {"canary": {"weight": 100, "min_s": 60, "max_s": 600}}
ASK = {"approval": {"note": "look at the costs", "max_s": 600}}
SWITCH = {"blue_green": {"keep_s": 60, "max_s": 600}}
BEST = {"ab": {**TEST["ab"], "max_s": 600, "winner": "best"}}
TALK = {"ab": {**TEST["ab"], "max_s": 600}}

CANARY = prepared_at(10, FIVE, WHOLE)
LAST = prepared_at(10, WHOLE)
SWITCHED = prepared_at(10, SWITCH)
ASKING = prepared_at(10, ASK, WHOLE)
TESTING = prepared_at(10, BEST)
TALKING = prepared_at(10, TALK)
PAUSED = advance(CANARY, Pause(20, "bob"))
HELD = advance(CANARY, Judged(700, INCONCLUSIVE))
OVER = advance(TALKING, Judged(700, PASS))
FAILING = advance(CANARY, Judged(20, FAIL))
ENDED = {
    Status.SUCCEEDED: advance(LAST, Judged(100, PASS)),
    Status.ROLLED_BACK: advance(FAILING, Followed(21)),
    Status.ABORTED: advance(CANARY, Abort(20, "bob")),
}
WON = Verdict(Outcome.INCONCLUSIVE, "1.2.0 errs least", winner=OTHER.number)
STABLE_WON = Verdict(Outcome.PASS, "1.0.0 errs least", winner=BASELINE.number)


def check(before, event, **changes):
    """After `event`, exactly `changes` are other than before; without any, it is the same object."""
    after = advance(before, event)
    assert after == dataclasses.replace(before, **changes)
    if not changes:
        assert after is before


def test_a_prepared_rollout_begins_its_first_stage():
    """The split changes from nothing to the stage's, so counting begins anew."""
    check(
        begun(FIVE, WHOLE),
        Prepared(10),
        status=Status.RUNNING,
        stage_at=10,
        segment=1,
        reason="canary 5 % has begun: every server can serve m@1.1.0",
    )


def test_a_prepared_switch_is_made_at_once():
    """Calls and `stable` go to the candidate in one step."""
    check(
        begun(SWITCH),
        Prepared(10),
        status=Status.RUNNING,
        stage_at=10,
        segment=1,
        chosen=CANDIDATE.number,
        reason="blue-green has begun: every server can serve m@1.1.0",
    )


@pytest.mark.parametrize("stages", [(ASK, WHOLE), (SHADOW, ASK)])
def test_an_approval_waits_from_its_beginning(stages):
    """As a first stage, and behind another one that passed."""
    before = begun(*stages)
    if stages[0] is SHADOW:
        before = advance(before, Prepared(10))
        changes = {"stage": 1, "segment": 2, "stage_at": 50, "paused_at": 50}
        why = "shadow 10 % has passed: all is well"
        event = Judged(50, PASS)
    else:
        changes = {"stage_at": 50, "paused_at": 50}
        why = "every server can serve m@1.1.0"
        event = Prepared(50)
    reason = f"waits for somebody to promote it (look at the costs): {why}"
    check(before, event, status=Status.WAITING, reason=reason, **changes)


def test_a_stage_that_passes_leads_to_the_next():
    """Its clock starts with it."""
    check(
        CANARY,
        Judged(70, PASS),
        stage=1,
        stage_at=70,
        segment=2,
        reason="canary 100 % has begun: canary 5 % has passed: all is well",
    )


@pytest.mark.parametrize("before", [LAST, SWITCHED])
def test_the_last_stage_that_passes_makes_the_candidate_stable(before):
    """A switch has done so before, and keeps it."""
    check(
        before,
        Judged(70, PASS),
        status=Status.SUCCEEDED,
        ended_at=70,
        chosen=CANDIDATE.number,
        segment=2,
        reason=f"m@1.1.0 is stable: {'canary 100 %' if before is LAST else 'blue-green'} has passed: all is well",
    )


def test_a_plan_that_only_compares_ends_without_moving_anything():
    """Its candidate got no call, and is not stable afterwards."""
    check(
        prepared_at(10, SHADOW),
        Judged(40, PASS),
        status=Status.SUCCEEDED,
        ended_at=40,
        segment=2,
        reason="all stages are passed: shadow 10 % has passed: all is well",
    )


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (CANARY, Judged(69.9, PASS)),
        (SWITCHED, Judged(69.9, PASS)),
        (TESTING, Judged(69.9, WON)),
        (CANARY, Judged(-1000, PASS)),
        (CANARY, Judged(609.9, INCONCLUSIVE)),
        (PAUSED, Judged(10_000, PASS)),
        (PAUSED, Judged(10_000, INCONCLUSIVE)),
        (HELD, Judged(10_000, PASS)),
        (HELD, Judged(10_000, INCONCLUSIVE)),
        (OVER, Judged(10_000, WON)),
        (ASKING, Judged(10_000, PASS)),
        (ASKING, Judged(10_000, INCONCLUSIVE)),
        (TALKING, Judged(70, WON)),
        (TESTING, Judged(70, PASS)),
        (begun(FIVE, WHOLE), Judged(10_000, PASS)),
        (begun(FIVE, WHOLE), Followed(10)),
        (CANARY, Prepared(20)),
        (PAUSED, Prepared(30)),
        (CANARY, Followed(20)),
        (advance(CANARY, Measured(20, 0.1)), Measured(30, 0.2)),
        (prepared_at(10, WHOLE, guardrails={"latency": {"enabled": False}}), Measured(20, 0.1)),
        (prepared_at(10, WHOLE, guardrails={"latency": {"limit_s": 0.2}}), Measured(20, 0.1)),
        (FAILING, Judged(25, PASS)),
        (FAILING, Broken(25, "it is gone")),
        (FAILING, Prepared(25)),
        (FAILING, Measured(25, 0.1)),
        (FAILING, ServerLost(25)),
    ],
)
def test_what_comes_too_early_too_late_or_twice_changes_nothing(before, event):
    """Minima that are not reached, clocks that stand, decisions that only a person makes, and all of it once more."""
    check(before, event)


@pytest.mark.parametrize(
    "before", [begun(FIVE, WHOLE), CANARY, LAST, SWITCHED, ASKING, TESTING, TALKING, PAUSED, HELD, OVER]
)
@pytest.mark.parametrize(("event", "reason"), [(Judged(900, FAIL), FAIL.reason), (Broken(900, "gone"), "gone")])
def test_a_failure_fails_a_rollout_wherever_it_stands(before, event, reason):
    """Also before calls flow, while the clock stands, and while a person is waited for."""
    check(
        before,
        event,
        status=Status.FAILING,
        failed_at=900,
        paused_at=0.0,
        segment=before.segment + 1,
        reason=reason,
    )


@pytest.mark.parametrize("event", [Followed(20.5), Judged(20 + CONFIRMED_AFTER_S, PASS), ServerLost(99)])
def test_a_failure_ends_when_all_have_heard_or_would_be_dead(event):
    """The reason stays the one that failed it."""
    check(FAILING, event, status=Status.ROLLED_BACK, ended_at=event.at, segment=FAILING.segment + 1)


def test_the_limit_of_slow_calls_is_set_once():
    """Counts under another limit say nothing about this one."""
    check(CANARY, Measured(20, 0.1), slow_s=0.1, segment=2)


def test_a_stage_without_a_verdict_is_held_when_its_time_is_over():
    """So is one that had not enough calls; the reason says what a person can do."""
    check(
        CANARY,
        Judged(610, INCONCLUSIVE),
        status=Status.WAITING,
        paused_at=610,
        reason="canary 5 % neither passed nor failed within 600 s: 20 of 500 calls so far; resume it, promote it with"
        " force, or abort it",
    )


@pytest.mark.parametrize("stage", [SHADOW, FIVE, SWITCH])
def test_a_stage_without_a_verdict_fails_where_the_plan_says_so(stage):
    """Whatever kind it is."""
    plan = (stage,) if stage is SWITCH else (stage, WHOLE)
    after = advance(prepared_at(10, *plan, on_inconclusive="rollback"), Judged(610, INCONCLUSIVE))
    assert (after.status, after.failed_at) == (Status.FAILING, 610)
    assert "neither passed nor failed within" in after.reason


def test_an_approval_that_nobody_gives_fails_where_the_plan_says_so():
    """Without a limit it waits for ever."""
    asking = prepared_at(10, ASK, WHOLE, on_inconclusive="rollback")
    check(asking, Judged(609, PASS))
    check(
        asking,
        Judged(610, PASS),
        status=Status.FAILING,
        failed_at=610,
        paused_at=0.0,
        segment=1,
        reason="nobody has approved it within 600 s",
    )
    check(prepared_at(10, {"approval": {}}, WHOLE, on_inconclusive="rollback"), Judged(1e9, PASS))


def test_the_best_version_of_a_test_wins_where_it_may():
    """Even if not all of its guardrails have passed by then."""
    check(
        TESTING,
        Judged(70, WON),
        status=Status.SUCCEEDED,
        ended_at=70,
        chosen=OTHER.number,
        segment=2,
        reason="m@1.2.0 is stable: it has won the test: 1.2.0 errs least",
    )


def test_what_is_stable_can_win_a_test():
    """It stays what it is."""
    check(
        TESTING,
        Judged(70, STABLE_WON),
        status=Status.SUCCEEDED,
        ended_at=70,
        chosen=BASELINE.number,
        segment=2,
        reason="m@1.0.0 is stable: it has won the test: 1.0.0 errs least",
    )


@pytest.mark.parametrize(("before", "verdict"), [(TESTING, PASS), (TALKING, WON), (TALKING, INCONCLUSIVE)])
def test_a_test_that_names_no_winner_waits_for_a_person_when_its_time_is_over(before, verdict):
    """It never ends by itself."""
    check(
        before,
        Judged(610, verdict),
        status=Status.WAITING,
        paused_at=610,
        reason=f"the test has run for 600 s: {verdict.reason}; promote a version, resume the test, or abort it",
    )


@pytest.mark.parametrize(
    "before", [begun(FIVE, WHOLE), prepared_at(10, SHADOW), CANARY, PAUSED, HELD, SWITCHED, TALKING]
)
def test_one_dead_server_is_noted_and_the_second_fails_the_rollout(before):
    """While the candidate is loaded everywhere, gets copies, or gets calls."""
    noted = f"{before.reason}; a server that had it loaded died"
    check(before, ServerLost(900), lost_servers=1, reason=noted)
    check(
        advance(before, ServerLost(900)),
        ServerLost(901),
        status=Status.FAILING,
        failed_at=901,
        paused_at=0.0,
        lost_servers=2,
        segment=before.segment + 1,
        reason="servers that had it loaded died 2 times",
    )


def test_servers_that_die_while_nobody_calls_the_candidate_are_noted_alone():
    """It cannot be why; with calls, the next one fails it all the same."""
    once, twice = (played(ASKING, *[ServerLost(20)] * times) for times in (1, 2))
    check(ASKING, ServerLost(20), lost_servers=1, reason=f"{ASKING.reason}; a server that had it loaded died")
    check(once, ServerLost(20), lost_servers=2)
    called = advance(twice, Promote(30, "bob"))
    assert (called.status, called.lost_servers) == (Status.RUNNING, 2)
    check(
        called,
        ServerLost(40),
        status=Status.FAILING,
        failed_at=40,
        lost_servers=3,
        segment=2,
        reason="servers that had it loaded died 3 times",
    )


@pytest.mark.parametrize("before", ENDED.values(), ids=ENDED)
@pytest.mark.parametrize(
    "event",
    [Prepared(1e6), Judged(1e6, FAIL), Broken(1e6, "gone"), Measured(1e6, 1), ServerLost(1e6), Followed(1e6)],
)
def test_nothing_happens_to_what_has_ended(before, event):
    """Ends are final."""
    check(before, event)


def test_a_pause_stops_the_clock():
    """What was left of a stage's times before it is left after it; the weights stay."""
    check(CANARY, Pause(20, "bob"), status=Status.PAUSED, paused_at=20, reason="bob has paused canary 5 %")
    resumed = advance(PAUSED, Resume(1020, "eve"))
    check(
        PAUSED,
        Resume(1020, "eve"),
        status=Status.RUNNING,
        paused_at=0.0,
        stage_at=1010,
        reason="eve has resumed canary 5 %",
    )
    check(resumed, Judged(1069, PASS))
    assert advance(resumed, Judged(1070, PASS)).stage == 1


def test_a_clock_that_went_back_during_a_pause_takes_nothing_away():
    """The stage began when it began."""
    assert advance(PAUSED, Resume(5, "bob")).stage_at == PAUSED.stage_at


@pytest.mark.parametrize("before", [HELD, OVER])
def test_what_was_held_starts_its_stage_again_when_resumed(before):
    """Otherwise its time would be over at once."""
    after = advance(before, Resume(800, "bob"))
    assert (after.status, after.stage_at, after.paused_at, after.segment) == (Status.RUNNING, 800, 0.0, before.segment)
    check(after, Judged(1399, INCONCLUSIVE))


@pytest.mark.parametrize("verdict", [None, PASS, INCONCLUSIVE])
def test_a_promotion_leaves_an_approval(verdict):
    """That is what was asked for, whatever the judge says of it."""
    check(
        ASKING,
        Promote(20, "bob", verdict),
        status=Status.RUNNING,
        stage=1,
        stage_at=20,
        paused_at=0.0,
        segment=1,
        reason="canary 100 % has begun: bob has promoted it",
    )


@pytest.mark.parametrize("before", [CANARY, PAUSED, HELD])
def test_a_promotion_goes_to_the_next_stage_if_the_judge_says_pass(before):
    """Also out of a pause."""
    check(
        before,
        Promote(900, "bob", PASS, CANDIDATE.number),
        status=Status.RUNNING,
        stage=1,
        stage_at=900,
        paused_at=0.0,
        segment=2,
        reason="canary 100 % has begun: bob has promoted it",
    )


@pytest.mark.parametrize(("before", "verdict"), [(OVER, None), (OVER, INCONCLUSIVE), (TALKING, PASS), (TESTING, PASS)])
def test_a_promotion_names_the_winner_of_a_test(before, verdict):
    """When its time is over, or when every guardrail passes; the winner may be what is stable."""
    for version in (CANDIDATE, OTHER, BASELINE):
        check(
            before,
            Promote(900, "bob", verdict, version.number),
            status=Status.SUCCEEDED,
            ended_at=900,
            paused_at=0.0,
            chosen=version.number,
            segment=2,
            reason=f"{version} is stable: bob has promoted it",
        )


@pytest.mark.parametrize("before", [prepared_at(10, SHADOW), CANARY, PAUSED, HELD, ASKING, SWITCHED])
def test_force_makes_the_candidate_stable_at_once(before):
    """Past all stages, and even in a plan that would move nothing."""
    check(
        before,
        ForcePromote(900, "bob"),
        status=Status.SUCCEEDED,
        ended_at=900,
        paused_at=0.0,
        chosen=CANDIDATE.number,
        segment=before.segment + 1,
        reason="m@1.1.0 is stable: bob has forced it",
    )


@pytest.mark.parametrize("before", [begun(FIVE, WHOLE), CANARY, PAUSED, HELD, ASKING, SWITCHED, TALKING])
def test_an_abort_ends_a_rollout_at_once(before):
    """In the same write: nothing of it is left to be confirmed."""
    check(
        before,
        Abort(900, "bob", "a hunch"),
        status=Status.ABORTED,
        ended_at=900,
        paused_at=0.0,
        segment=before.segment + 1,
        reason="bob has aborted it: a hunch",
    )


def test_a_whole_plan_is_played_to_its_end():
    """From nothing to stable, with a person asked in between."""
    after = played(
        begun(SHADOW, FIVE, ASK, WHOLE),
        Prepared(10),
        Measured(15, 0.1),
        Judged(40, PASS),
        Judged(100, PASS),
        Promote(200, "bob"),
        Judged(260, PASS),
    )
    assert (after.status, after.chosen, after.segment, after.ended_at) == (Status.SUCCEEDED, CANDIDATE.number, 5, 260)
