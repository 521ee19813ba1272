"""What a person may decide, what that changes, and what they are told where they may not."""

import pytest

from serinus.core.errors import Refused
from serinus.rollout.machine.machine import advance
from serinus.rollout.rollout import Abort, ForcePromote, Judged, Pause, Promote, Resume, Status
from tests.support.rollouts import (
    BASELINE,
    CANDIDATE,
    FAIL,
    INCONCLUSIVE,
    OTHER,
    PASS,
    begun,
    check_advance,
    prepared_at,
)
from tests.support.standing_rollouts import (
    ASKING,
    CANARY,
    ENDED,
    FAILING,
    FIVE,
    HELD,
    OVER,
    PAUSED,
    PREPARING,
    SHADOW,
    SWITCHED,
    TALKING,
    TESTING,
    WHOLE,
)

COMMANDS = [Pause(30, "bob"), Resume(30, "bob"), Promote(30, "bob", PASS), ForcePromote(30, "bob"), Abort(30, "bob")]


def check_refused(before, command, reason, sentence):
    """The command is refused in these words."""
    with pytest.raises(Refused) as refused:
        advance(before, command)
    assert (refused.value.reason, refused.value.message) == (reason, sentence)


def test_a_pause_stops_the_clock():
    """What was left of a stage's times before it is left after it; the weights stay."""
    check_advance(CANARY, Pause(20, "bob"), status=Status.PAUSED, paused_at=20, reason="bob has paused canary 5 %")
    resumed = advance(PAUSED, Resume(1020, "eve"))
    check_advance(
        PAUSED,
        Resume(1020, "eve"),
        status=Status.RUNNING,
        paused_at=0.0,
        stage_at=1010,
        reason="eve has resumed canary 5 %",
    )
    check_advance(resumed, Judged(1069, PASS))
    assert advance(resumed, Judged(1070, PASS)).stage == 1


def test_a_clock_that_went_back_during_a_pause_takes_nothing_away():
    """The stage began when it began."""
    assert advance(PAUSED, Resume(5, "bob")).stage_at == PAUSED.stage_at


@pytest.mark.parametrize("before", [HELD, OVER])
def test_what_was_held_starts_its_stage_again_when_resumed(before):
    """Otherwise its time would be over at once."""
    after = advance(before, Resume(800, "bob"))
    assert (after.status, after.stage_at, after.paused_at, after.segment) == (Status.RUNNING, 800, 0.0, before.segment)
    check_advance(after, Judged(1399, INCONCLUSIVE))


@pytest.mark.parametrize("verdict", [None, PASS, INCONCLUSIVE])
def test_a_promotion_leaves_an_approval(verdict):
    """That is what was asked for, whatever the judge says of it."""
    check_advance(
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
    check_advance(
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
        check_advance(
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
    check_advance(
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
    check_advance(
        before,
        Abort(900, "bob", "a hunch"),
        status=Status.ABORTED,
        ended_at=900,
        paused_at=0.0,
        segment=before.segment + 1,
        reason="bob has aborted it: a hunch",
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_what_has_ended_takes_no_commands(command):
    """An end is an end."""
    check_refused(
        ENDED[Status.ROLLED_BACK], command, "ROLLOUT_ENDED", "the rollout has ended (rolled_back): start another one"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_what_fails_takes_no_commands(command):
    """Nobody brings it back, and nobody need hurry it."""
    sentence = "the candidate gets no calls any more: wait for the end, then start another rollout"
    check_refused(FAILING, command, "ROLLOUT_FAILING", sentence)


@pytest.mark.parametrize("before", [PREPARING, PAUSED, HELD, ASKING])
def test_only_a_clock_that_runs_can_be_stopped(before):
    """The sentence says where the rollout stands."""
    sentence = f"the rollout is {before.status.value}, so no clock runs that could be stopped"
    check_refused(before, Pause(30, "bob"), "NOT_RUNNING", sentence)


@pytest.mark.parametrize("before", [PREPARING, CANARY])
def test_only_what_stands_can_be_resumed(before):
    """What runs goes on anyway."""
    sentence = f"the rollout is {before.status.value}: there is nothing to resume"
    check_refused(before, Resume(30, "bob"), "NOT_PAUSED", sentence)


def test_an_approval_is_no_pause():
    """Whoever means yes says so."""
    check_refused(ASKING, Resume(30, "bob"), "NOT_PAUSED", "the rollout waits for an approval: promote or abort it")


@pytest.mark.parametrize("command", [Promote(30, "bob", PASS), ForcePromote(30, "bob")])
def test_nothing_is_promoted_that_cannot_be_served_yet(command):
    """Not even by force: `stable` must be served."""
    sentence = "not every server can serve the candidate yet: wait until they can, or abort the rollout"
    check_refused(PREPARING, command, "NOT_PREPARED", sentence)


@pytest.mark.parametrize(
    ("before", "verdict", "stage", "why"),
    [
        (CANARY, None, "canary 5 %", "nobody has judged it yet"),
        (CANARY, INCONCLUSIVE, "canary 5 %", "20 of 500 calls so far"),
        (HELD, INCONCLUSIVE, "canary 5 %", "20 of 500 calls so far"),
        (PAUSED, FAIL, "canary 5 %", "errors: 9 of 20 calls"),
        (TESTING, INCONCLUSIVE, "a/b 1.1.0 20 %, 1.2.0 30 %", "20 of 500 calls so far"),
    ],
)
def test_what_has_not_passed_is_promoted_by_force_alone(before, verdict, stage, why):
    """The sentence says what to do, then what is missing."""
    command = Promote(30, "bob", verdict, CANDIDATE.number)
    advice = "wait, or promote with force (--force)"
    check_refused(before, command, "NOT_PASSED", f"{stage} has not passed: {advice}: {why}")


@pytest.mark.parametrize("command", [Promote(30, "bob", PASS), ForcePromote(30, "bob")])
def test_the_winner_of_a_test_is_named(command):
    """Nobody guesses it."""
    sentence = "the test has several versions: name one of 1.1.0, 1.2.0, 1.0.0"
    check_refused(TESTING, command, "NEEDS_VERSION", sentence)


@pytest.mark.parametrize("command", [Promote(30, "bob", PASS, 1), ForcePromote(30, "bob", 99)])
def test_only_a_candidate_is_promoted(command):
    """What is stable, or never took part, is not moved by a canary."""
    sentence = "the version is none that the rollout could make stable: name one of 1.1.0"
    check_refused(CANARY, command, "NOT_A_CANDIDATE", sentence)
