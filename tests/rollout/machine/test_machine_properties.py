"""What holds for every rollout whatever happens to it, in whatever order."""

import dataclasses

from hypothesis import given, settings

from serinus.core.errors import Refused
from serinus.core.traffic import TrafficSplit
from serinus.rollout.machine.commands import Command
from serinus.rollout.machine.effects import effects
from serinus.rollout.machine.machine import advance
from serinus.rollout.rollout import (
    WITHOUT_CALLS,
    Event,
    Rollout,
    Status,
)
from tests.support.rollout_strategies import COMMANDS, HAPPENINGS, PROGRESS, histories, specs
from tests.support.rollouts import begun_as

LONGEST = 25
ORDER = {  # A status leads to itself, and to these.
    Status.PREPARING: {Status.RUNNING, Status.WAITING, Status.FAILING, Status.ABORTED},
    Status.RUNNING: {Status.PAUSED, Status.WAITING, Status.SUCCEEDED, Status.FAILING, Status.ABORTED},
    Status.PAUSED: {Status.RUNNING, Status.WAITING, Status.SUCCEEDED, Status.FAILING, Status.ABORTED},
    Status.WAITING: {Status.RUNNING, Status.SUCCEEDED, Status.FAILING, Status.ABORTED},
    Status.FAILING: {Status.ROLLED_BACK},
}


def weights(rollout: Rollout) -> tuple[int, ...]:
    """Of the candidates; 0 where no split gives them any."""
    split = effects(rollout).split
    given_now = {arm.version: arm.weight for arm in split.arms} if split is not None else {}
    return tuple(given_now.get(version, 0) for version in rollout.candidates)


def in_force(rollout: Rollout) -> tuple[TrafficSplit | None, float | None]:
    """What counts belong to."""
    split = effects(rollout).split
    return split and dataclasses.replace(split, observation=None), rollout.slow_s


def check_effects(rollout: Rollout) -> None:
    """What is in force makes sense by itself."""
    now = effects(rollout)
    assert now.owns == (now.split is not None) == (not rollout.has_ended)
    if now.split is not None:
        numbers = [arm.version.number for arm in now.split.arms]
        assert len(set(numbers)) == len(numbers)
        assert now.split.baseline == rollout.baseline
        assert all(arm.weight >= 0 for arm in now.split.arms)
        assert now.split.observation is not None
        assert now.split.observation.segment == rollout.segment
        assert set(now.split.versions()) <= {*rollout.candidates, rollout.baseline}
    if rollout.status in WITHOUT_CALLS and now.split is not None:
        assert now.split.versions() == (rollout.baseline,)
    if now.stable is not None:
        named = {
            Status.SUCCEEDED: {*rollout.candidates, rollout.baseline},
            Status.FAILING: {rollout.baseline},
            Status.ABORTED: {rollout.baseline},
        }.get(rollout.status, set(rollout.candidates))
        assert now.stable in named
        assert rollout.status is Status.SUCCEEDED or rollout.current.blue_green is not None


def check_step(before: Rollout, after: Rollout) -> None:
    """One event led from one to the other."""
    if after == before:
        assert after is before
        return
    assert after.status is before.status or after.status in ORDER[before.status]
    assert after.segment == before.segment + (in_force(after) != in_force(before))
    assert after.stage >= before.stage
    assert after.lost_servers >= before.lost_servers
    assert (after.paused_at > 0) <= (after.status in {Status.PAUSED, Status.WAITING})
    assert (after.ended_at > 0) == after.has_ended
    assert after.reason
    if after.status is not Status.SUCCEEDED:
        falls = [now < then for now, then in zip(weights(after), weights(before), strict=True)]
        assert not any(falls) or after.status in WITHOUT_CALLS
    if after.status in WITHOUT_CALLS:
        assert not any(weights(after))
    if before.status in WITHOUT_CALLS:
        assert after.status in WITHOUT_CALLS


def play(rollout: Rollout, event: Event) -> Rollout:
    """The rollout after an event, or as it is if that is refused, which only commands are."""
    try:
        after = advance(rollout, event)
    except Refused:
        assert isinstance(event, Command)
        return rollout
    assert not (rollout.has_ended and isinstance(event, Command))
    return after


@settings(max_examples=400, deadline=None)
@given(specs(), histories(LONGEST, *PROGRESS, *HAPPENINGS, *PROGRESS, *COMMANDS))
def test_no_order_of_events_breaks_a_rule(spec, history):
    """Weights fall to 0 alone, and never rise after a failure; ends are final; only who may be is stable."""
    rollout, at = begun_as(spec), 1.0
    check_effects(rollout)
    for occurrence, pause_s, choice in history:
        at += pause_s
        before, rollout = rollout, play(rollout, occurrence(rollout, at, choice))
        check_step(before, rollout)
        check_effects(rollout)
