import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.errors import DataLost, Refused
from serinus.rollout.documents import rollout_document, rollout_of, verdict_document, verdict_of
from serinus.rollout.machine.machine import advance
from serinus.rollout.rollout import Outcome, Rollout, Status, Verdict
from tests.support.rollout_strategies import HAPPENINGS, PROGRESS, finite, histories, lines, specs, verdicts
from tests.support.rollouts import begun, begun_as, prepared_at


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    """A rollout with anything in any of its fields, whether it could stand there or not."""
    begun_one = begun_as(draw(specs()))
    numbers = st.integers(0, 2**31)
    return Rollout(
        id=draw(lines),
        spec=begun_one.spec,
        baseline=begun_one.baseline,
        candidates=begun_one.candidates,
        salt=draw(lines),
        started_at=draw(finite),
        started_by=draw(lines),
        slow_s=draw(st.none() | finite),
        status=draw(st.sampled_from(Status)),
        stage=draw(numbers),
        segment=draw(numbers),
        stage_at=draw(finite),
        paused_at=draw(finite),
        failed_at=draw(finite),
        lost_servers=draw(numbers),
        chosen=draw(numbers),
        reason=draw(lines),
        ended_at=draw(finite),
    )


def as_stored(document):
    """What a database gives back; it takes no NaN and no infinity."""
    return json.loads(json.dumps(document, allow_nan=False))


@settings(deadline=None)
@given(rollouts())
def test_a_rollout_comes_back_as_it_was(rollout):
    """To the last bit of each number."""
    assert rollout_of(as_stored(rollout_document(rollout))) == rollout


@settings(deadline=None)
@given(verdicts(2, 3))
def test_a_verdict_comes_back_as_it_was(verdict):
    """Evidence may be infinite."""
    assert verdict_of(as_stored(verdict_document(verdict))) == verdict


@settings(max_examples=50, deadline=None)
@given(specs(), histories(6, *PROGRESS, *HAPPENINGS))
def test_what_is_read_back_goes_on_as_if_it_had_never_been_written(spec, history):
    """A restart changes nothing."""
    rollout, at = begun_as(spec), 1.0
    for occurrence, pause_s, choice in history:
        at += pause_s
        event = occurrence(rollout, at, choice)
        read = rollout_of(as_stored(rollout_document(rollout)))
        rollout = advance(rollout, event)
        assert advance(read, event) == rollout


def test_what_was_left_to_defaults_is_written_down():
    """A server that has other defaults goes on with the rollout as it began."""
    document = as_stored(rollout_document(prepared_at(10)))
    assert document["spec"]["guardrails"]["alpha"] == 0.01
    assert document["spec"]["stages"][1]["canary"] == {
        "weight": 5.0,
        "min_requests": 500,
        "min_s": 60.0,
        "max_s": 86_400.0,
    }
    assert (document["format"], document["model"], document["status"], document["stage_at"]) == (1, "m", "running", 10)


def test_a_newer_server_s_rollout_is_left_alone():
    """Its words may mean something else."""
    with pytest.raises(Refused) as refused:
        rollout_of({**rollout_document(begun()), "format": 2})
    assert refused.value.reason == "FORMAT_NEWER"
    assert refused.value.message == "a rollout was written by a newer server, in format 2; this one reads 1"


@pytest.mark.parametrize(
    "damage",
    [
        {"format": "one"},
        {"status": "lost"},
        {"spec": {"model": "m"}},
        {"baseline": {"version": "1.0", "number": 1}},
        {"candidates": [{}]},
        {"candidates": 5},
    ],
)
def test_a_damaged_rollout_is_no_rollout(damage):
    """What it was is not guessed."""
    with pytest.raises(DataLost) as lost:
        rollout_of({**rollout_document(begun()), **damage})
    assert (lost.value.reason, lost.value.message) == ("ROLLOUT_UNREADABLE", "a rollout is not as it was written")


def test_a_damaged_verdict_is_no_verdict():
    """Neither is one without its words."""
    verdict = verdict_document(Verdict(Outcome.PASS, "all is well"))
    for damage in ({"outcome": "maybe"}, {"checks": [{}]}, {"checks": 5}):
        with pytest.raises(DataLost) as lost:
            verdict_of({**verdict, **damage})
        assert lost.value.reason == "VERDICT_UNREADABLE"
