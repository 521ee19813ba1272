"""`serinus rollout watch` and `start --watch` on a server in memory, seen by a pipe."""

import json
import os
import signal

import pytest

from serinus_api.v1 import admin_pb2 as pb
from tests.support.rollout_messages import ended, rollout


@pytest.fixture
def told(rollouts):
    """A rollout that is told of twice before it ends as it is said."""

    def told(status) -> None:
        last = ended(status, reason="that is how it was", verdict=None)
        rollouts.add(rollout())
        rollouts.stories = [[rollout(), rollout(stage=2), last]]

    return told


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (pb.ROLLOUT_STATUS_SUCCEEDED, 0),
        (pb.ROLLOUT_STATUS_ROLLED_BACK, 1),
        (pb.ROLLOUT_STATUS_ABORTED, 1),
    ],
)
def test_the_exit_code_says_how_it_ended(tell, told, status, code):
    """So that a pipeline stops where a rollout did."""
    told(status)
    out = tell("rollout", "watch", "magika")
    word = pb.RolloutStatus.Name(status).removeprefix("ROLLOUT_STATUS_").lower()
    assert (out.code, out.err) == (code, "")
    # Between the first and the last line there may be one with counts.
    lines = [line.split("  ", 1)[1] for line in out.out.splitlines()]
    assert lines[0] == "running, canary 5 %"
    assert lines[-2:] == [
        "running, canary 10 %",
        f"{word}, canary 5 %: that is how it was",
    ]


def test_programs_get_a_document_for_each_state(tell, told):
    """One on each line."""
    told(pb.ROLLOUT_STATUS_SUCCEEDED)
    out = tell("rollout", "watch", "r-1", "--json")
    assert [json.loads(line)["status"] for line in out.out.splitlines()] == ["running", "running", "succeeded"]


def test_a_watch_can_end_at_a_status(tell, rollouts):
    """Exit code 0, and the rollout goes on."""
    rollouts.add(rollout())
    rollouts.stories = [[rollout(), rollout(status=pb.ROLLOUT_STATUS_WAITING), rollout()]]
    assert tell("rollout", "watch", "r-1", "--until", "waiting").code == 0
    rollouts.stories = [[ended()]]
    assert tell("rollout", "watch", "r-1", "--until", "waiting").code == 1
    out = tell("rollout", "watch", "r-1", "--until", "done")
    assert (out.code, out.err.split(": ")[1]) == (2, "--until")


def test_a_watch_can_end_after_a_time(tell, rollouts):
    """Exit code 1: it is not known how it will end."""
    rollouts.add(rollout())
    out = tell("rollout", "watch", "r-1", "--timeout", "0.2")
    assert (out.code, out.err) == (1, "error: rollout r-1 is running after 0.2 s of watching, and goes on\n")


def test_an_interrupt_leaves_the_rollout_alone(tell, rollouts):
    """And says how to stop that as well."""
    rollouts.add(rollout())

    def interrupt() -> None:
        rollouts.while_watched = lambda: None  # a second one would be an order to stop at once
        os.kill(os.getpid(), signal.SIGINT)

    rollouts.while_watched = interrupt
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever ran in this process earlier
    try:
        out = tell("rollout", "watch", "r-1", "--json")
    finally:
        signal.signal(signal.SIGINT, before)
    sentence = "the rollout goes on without being watched: 'serinus rollout abort r-1' takes the candidate out\n"
    assert (out.code, out.err) == (130, sentence)
    assert {type(request) for request in rollouts.asked} == {pb.GetRolloutRequest, pb.WatchRolloutRequest}


def test_a_start_can_be_watched_to_its_end(tell, rollouts):
    """Documents of both, one on each line."""
    rollouts.stories = [[ended(id="r-new")]]
    out = tell("rollout", "start", "magika", "1.1.0", "--watch", "--json")
    assert (out.code, [json.loads(line)["status"] for line in out.out.splitlines()]) == (0, ["preparing", "succeeded"])
