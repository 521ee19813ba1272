"""What a person may not decide, and what they are told."""

import pytest

from serinus.core.errors import Refused
from serinus.rollout.machine import advance
from serinus.rollout.rollout import Abort, Followed, ForcePromote, Judged, Pause, Promote, Resume
from tests.support.rollouts import CANDIDATE, FAIL, INCONCLUSIVE, PASS, TEST, begun, prepared_at

FIVE = {"canary": {"weight": 5, "max_s": 600}}
WHOLE = {"canary": {"weight": 100}}

PREPARING = begun(FIVE, WHOLE)
CANARY = prepared_at(10, FIVE, WHOLE)
PAUSED = advance(CANARY, Pause(20, "bob"))
HELD = advance(CANARY, Judged(700, INCONCLUSIVE))
ASKING = prepared_at(10, {"approval": {}}, WHOLE)
TESTING = prepared_at(10, TEST)
FAILING = advance(CANARY, Judged(20, FAIL))
ROLLED_BACK = advance(FAILING, Followed(21))
COMMANDS = [Pause(30, "bob"), Resume(30, "bob"), Promote(30, "bob", PASS), ForcePromote(30, "bob"), Abort(30, "bob")]


def check(before, command, reason, sentence):
    """The command is refused in these words."""
    with pytest.raises(Refused) as refused:
        advance(before, command)
    assert (refused.value.reason, refused.value.message) == (reason, sentence)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_has_ended_takes_no_commands(command):
    """An end is an end."""
    check(ROLLED_BACK, command, "ROLLOUT_ENDED", "the rollout has ended (rolled_back): start another one")


@pytest.mark.parametrize("command", COMMANDS)
def test_what_fails_takes_no_commands(command):
    """Nobody brings it back, and nobody need hurry it."""
    sentence = "the candidate gets no calls any more: wait for the end, then start another rollout"
    check(FAILING, command, "ROLLOUT_FAILING", sentence)


@pytest.mark.parametrize("before", [PREPARING, PAUSED, HELD, ASKING])
def test_only_a_clock_that_runs_can_be_stopped(before):
    """The sentence says where the rollout stands."""
    sentence = f"the rollout is {before.status.value}, so no clock runs that could be stopped"
    check(before, Pause(30, "bob"), "NOT_RUNNING", sentence)


@pytest.mark.parametrize("before", [PREPARING, CANARY])
def test_only_what_stands_can_be_resumed(before):
    """What runs goes on anyway."""
    sentence = f"the rollout is {before.status.value}: there is nothing to resume"
    check(before, Resume(30, "bob"), "NOT_PAUSED", sentence)


def test_an_approval_is_no_pause():
    """Whoever means yes says so."""
    check(ASKING, Resume(30, "bob"), "NOT_PAUSED", "the rollout waits for an approval: promote or abort it")


@pytest.mark.parametrize("command", [Promote(30, "bob", PASS), ForcePromote(30, "bob")])
def test_nothing_is_promoted_that_cannot_be_served_yet(command):
    """Not even by force: `stable` must be served."""
    sentence = "not every server can serve the candidate yet: wait until they can, or abort the rollout"
    check(PREPARING, command, "NOT_PREPARED", sentence)


@pytest.mark.parametrize(
    ("before", "verdict", "why"),
    [
        (CANARY, None, "canary 5 % has not passed (nobody has judged it yet)"),
        (CANARY, INCONCLUSIVE, "canary 5 % has not passed (20 of 500 calls so far)"),
        (HELD, INCONCLUSIVE, "canary 5 % has not passed (20 of 500 calls so far)"),
        (PAUSED, FAIL, "canary 5 % has not passed (errors: 9 of 20 calls)"),
        (TESTING, INCONCLUSIVE, "a/b 1.1.0 20 %, 1.2.0 30 % has not passed (20 of 500 calls so far)"),
    ],
)
def test_what_has_not_passed_is_promoted_by_force_alone(before, verdict, why):
    """The sentence says what is missing."""
    command = Promote(30, "bob", verdict, CANDIDATE.number)
    check(before, command, "NOT_PASSED", f"{why}: wait, or promote with force")


@pytest.mark.parametrize("command", [Promote(30, "bob", PASS), ForcePromote(30, "bob")])
def test_the_winner_of_a_test_is_named(command):
    """Nobody guesses it."""
    sentence = "the test has several versions: name one of 1.1.0, 1.2.0, 1.0.0"
    check(TESTING, command, "NEEDS_VERSION", sentence)


@pytest.mark.parametrize("command", [Promote(30, "bob", PASS, 1), ForcePromote(30, "bob", 99)])
def test_only_a_candidate_is_promoted(command):
    """What is stable, or never took part, is not moved by a canary."""
    sentence = "the version is none that the rollout could make stable: name one of 1.1.0"
    check(CANARY, command, "NOT_A_CANDIDATE", sentence)
