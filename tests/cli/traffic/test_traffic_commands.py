"""`serinus traffic ...` and `serinus drain` on a server in memory."""

import json

import pytest

from serinus_api.v1 import admin_pb2 as pb
from tests.support.fake_rollouts import FakeRollouts


@pytest.fixture
def traffic():
    """A server that knows no split yet."""
    with FakeRollouts() as fake:
        yield fake


@pytest.fixture
def tell(serinus, traffic):
    """Runs a command line that talks to it."""
    return lambda *arguments: serinus(*arguments, "--server", traffic.target)


def test_calls_are_shared_out_by_hand(tell, traffic):
    """What is left is the server's to give to stable."""
    out = tell("traffic", "split", "m", "1.1.0=5", "1.2.0=10", "--rule", "cohort=beta:1.1.0", "--actor", "ann")
    assert (out.code, out.err) == (0, "")
    assert out.out.splitlines()[0] == "m  revision 3"
    assert out.out.splitlines()[-1] == "cohort beta → 1.1.0"
    assert traffic.asked_for(pb.SetSplitRequest) == [
        pb.SetSplitRequest(
            model="m", actor="ann", rules=[pb.SplitRule(attribute="cohort", values=["beta"], version="1.1.0")],
            arms=[pb.SplitArm(version="1.1.0", weight=5), pb.SplitArm(version="1.2.0", weight=10)],
        )
    ]  # fmt: skip
    assert tell("traffic", "split", "m", "--clear").out.splitlines() == [
        "m  revision 3",
        "all calls go to stable, or else to the highest version",
    ]


def test_a_fallback_is_set_and_taken_away(tell, traffic):
    """In the order of its targets."""
    out = tell(
        *("traffic", "fallback", "m", "--to", "1.0.0", "--to", "other@stable", "--constant", '{"y": [0]}'),
        *(
            "--on",
            "error,timeout",
            "--timeout-s",
            "0.05",
            "--budget",
            "0.25",
            "--expected-revision",
            3,
            "--actor",
            "ann",
        ),
    )
    assert out.out.splitlines()[-1] == (
        'on error, timeout after 50.0 ms at most: 1.0.0, then other@stable, then the constant {"y": [0]}; '
        "for at most 25 % of the calls"
    )
    (request,) = traffic.asked_for(pb.SetFallbackRequest)
    assert (request.expected_revision, request.actor, len(request.fallback.targets)) == (3, "ann", 3)
    found = json.loads(tell("traffic", "show", "m", "--json").out)
    assert found["fallback"] == {
        "targets": [{"version": "1.0.0"}, {"model": "other@stable"}, {"constant": {"y": [0]}}],
        "triggers": ["error", "timeout"],
        "attempt_timeout_s": 0.05,
        "budget": 0.25,
        "ranges": {},
    }
    assert json.loads(tell("traffic", "fallback", "m", "--clear", "--json").out)["fallback"] is None


def test_a_model_with_a_rollout_shows_whose_split_it_is(tell, traffic):
    """And what the breakers of this server say."""
    traffic.traffic["m"] = pb.ModelTraffic(
        model="m", revision=9, rollout="r-1", mirror=pb.SplitMirror(version="1.2.0", percent=10),
        arms=[pb.SplitArm(version="1.1.0", weight=25), pb.SplitArm(version="1.0.0", weight=75)],
        breakers=[
            pb.BreakerStatus(version="1.0.0", state="closed"),
            pb.BreakerStatus(version="1.1.0", state="open", failures_in_a_row=5, retry_in_s=2.5),
            pb.BreakerStatus(version="1.2.0", state="half_open", failures_in_a_row=6),
        ],
    )  # fmt: skip
    assert [line.rstrip() for line in tell("traffic", "show", "m").out.splitlines()] == [
        "m  revision 9",
        "rollout r-1 shares its calls out",
        "VERSION  WEIGHT",
        "1.1.0      25 %  ███████▌······················",
        "1.0.0      75 %  ██████████████████████▌·······",
        "copies of 10 % → 1.2.0",
        "breaker of 1.0.0: closed",
        "breaker of 1.1.0: open after 5 failures in a row, tries again in 2.5 s",
        "breaker of 1.2.0: half open, 6 failures in a row",
    ]
    assert json.loads(tell("traffic", "reset-breaker", "m", "--json").out)["breakers"] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("split", "m"), "expected either VERSION=PERCENT or --rule, or --clear"),
        (("split", "m", "1.1.0=5", "--clear"), "expected either VERSION=PERCENT or --rule, or --clear"),
        (("fallback", "m"), "expected either --to or --constant, or --clear"),
        (("fallback", "m", "--to", "1.0.0", "--clear"), "expected either --to or --constant, or --clear"),
    ],
)
def test_a_split_and_none_are_two_things(tell, traffic, arguments, sentence):
    """Nothing is asked."""
    assert tell("traffic", *arguments) == (2, "", f"error: {sentence}\n")
    assert traffic.asked == []


def test_a_server_is_drained_once_somebody_says_so(tell, traffic):
    """Where nobody is there to ask, with --yes."""
    ended = tell("drain")
    assert (ended.code, ended.err) == (2, f"error: nobody is there to ask: drain {traffic.target} with --yes\n")
    assert json.loads(tell("drain", "--yes", "--actor", "ann", "--json").out) == {
        "server": traffic.target,
        "draining": True,
    }
    assert traffic.asked == [pb.DrainRequest(actor="ann")]
