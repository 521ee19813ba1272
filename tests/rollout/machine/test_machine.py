"""Every transition, by table: where the rollout stands, what happens, and what of it is other afterwards."""

import pytest

from serinus.rollout.machine.machine import CONFIRMED_AFTER_S, advance
from serinus.rollout.rollout import (
    Broken,
    Followed,
    Judged,
    Measured,
    Outcome,
    Prepared,
    Promote,
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
    begun,
    check_advance,
    played,
    prepared_at,
)
from tests.support.standing_rollouts import (
    ASK,
    ASKING,
    CANARY,
    ENDED,
    FAILING,
    FIVE,
    HELD,
    LAST,
    OVER,
    PAUSED,
    PREPARING,
    SHADOW,
    SWITCH,
    SWITCHED,
    TALKING,
    TESTING,
    WHOLE,
)

WON = Verdict(Outcome.INCONCLUSIVE, "1.2.0 errs least", winner=OTHER.number)
STABLE_WON = Verdict(Outcome.PASS, "1.0.0 errs least", winner=BASELINE.number)


def test_a_prepared_rollout_begins_its_first_stage():
    """The split changes from nothing to the stage's, so counting begins anew."""
    check_advance(
        PREPARING,
        Prepared(10),
        status=Status.RUNNING,
        stage_at=10,
        segment=1,
        reason="canary 5 % has begun: every server can serve m@1.1.0",
    )


def test_a_prepared_switch_is_made_at_once():
    """Calls and `stable` go to the candidate in one step."""
    check_advance(
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
    check_advance(before, event, status=Status.WAITING, reason=reason, **changes)


def test_a_stage_that_passes_leads_to_the_next():
    """Its clock starts with it."""
    check_advance(
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
    check_advance(
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
    check_advance(
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
        (PREPARING, Judged(10_000, PASS)),
        (PREPARING, Followed(10)),
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
    check_advance(before, event)


@pytest.mark.parametrize("before", [PREPARING, CANARY, LAST, SWITCHED, ASKING, TESTING, TALKING, PAUSED, HELD, OVER])
@pytest.mark.parametrize(("event", "reason"), [(Judged(900, FAIL), FAIL.reason), (Broken(900, "gone"), "gone")])
def test_a_failure_fails_a_rollout_wherever_it_stands(before, event, reason):
    """Also before calls flow, while the clock stands, and while a person is waited for."""
    check_advance(
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
    check_advance(FAILING, event, status=Status.ROLLED_BACK, ended_at=event.at, segment=FAILING.segment + 1)


def test_the_limit_of_slow_calls_is_set_once():
    """Counts under another limit say nothing about this one."""
    check_advance(CANARY, Measured(20, 0.1), slow_s=0.1, segment=2)


def test_a_stage_without_a_verdict_is_held_when_its_time_is_over():
    """So is one that had not enough calls; the reason says what a person can do."""
    check_advance(
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
    check_advance(asking, Judged(609, PASS))
    check_advance(
        asking,
        Judged(610, PASS),
        status=Status.FAILING,
        failed_at=610,
        paused_at=0.0,
        segment=1,
        reason="nobody has approved it within 600 s",
    )
    check_advance(prepared_at(10, {"approval": {}}, WHOLE, on_inconclusive="rollback"), Judged(1e9, PASS))


def test_the_best_version_of_a_test_wins_where_it_may():
    """Even if not all of its guardrails have passed by then."""
    check_advance(
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
    check_advance(
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
    check_advance(
        before,
        Judged(610, verdict),
        status=Status.WAITING,
        paused_at=610,
        reason=f"the test has run for 600 s: {verdict.reason}; promote a version, resume the test, or abort it",
    )


@pytest.mark.parametrize("before", [PREPARING, prepared_at(10, SHADOW), CANARY, PAUSED, HELD, SWITCHED, TALKING])
def test_one_dead_server_is_noted_and_the_second_fails_the_rollout(before):
    """While the candidate is loaded everywhere, gets copies, or gets calls."""
    noted = f"{before.reason}; a server that had it loaded died"
    check_advance(before, ServerLost(900), lost_servers=1, reason=noted)
    check_advance(
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
    check_advance(ASKING, ServerLost(20), lost_servers=1, reason=f"{ASKING.reason}; a server that had it loaded died")
    check_advance(once, ServerLost(20), lost_servers=2)
    called = advance(twice, Promote(30, "bob"))
    assert (called.status, called.lost_servers) == (Status.RUNNING, 2)
    check_advance(
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
    check_advance(before, event)


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
