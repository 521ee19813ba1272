"""PREPARING → RUNNING ⇄ PAUSED, WAITING; these three → SUCCEEDED; all four → FAILING → ROLLED_BACK, or → ABORTED.

No clock, no I/O: a rollout and what happens to it make the rollout as it is then. What is in force because of that,
`effects` says.
"""

import dataclasses
from typing import Final, assert_never

from serinus.config.rollout_spec import AbStage
from serinus.core.traffic import TrafficSplit
from serinus.rollout.machine import transitions
from serinus.rollout.machine.commands import decided
from serinus.rollout.machine.effects import effects, is_exposed
from serinus.rollout.machine.plan import stage_text
from serinus.rollout.rollout import (
    Abort,
    Broken,
    Event,
    Followed,
    ForcePromote,
    Judged,
    Measured,
    Outcome,
    Pause,
    Prepared,
    Promote,
    Resume,
    Rollout,
    ServerLost,
    Status,
    Verdict,
)

CONFIRMED_AFTER_S: Final = 10.0  # a server that follows does so within one; the others are taken for dead by then
FATAL_LOSSES: Final = 2  # one server may die of anything


def advance(rollout: Rollout, event: Event) -> Rollout:
    """The rollout after an event; the same object if that changes nothing.

    A clock that went backwards lengthens what it measures, and does no other harm.

    Raises:
        Refused: a command that means nothing where the rollout stands, as `commands.decided` says.
    """
    after = _after(rollout, event)
    # What is counted under one split or limit says nothing about another one.
    is_other = after is not rollout and _in_force(after) != _in_force(rollout)
    return dataclasses.replace(after, segment=rollout.segment + 1) if is_other else after


def _in_force(rollout: Rollout) -> tuple[TrafficSplit | None, float | None]:
    split = effects(rollout).split
    return split and dataclasses.replace(split, observation=None), rollout.slow_s


def _after(rollout: Rollout, event: Event) -> Rollout:
    match event:
        case Pause() | Resume() | Promote() | ForcePromote() | Abort():
            return decided(rollout, event)
        case Prepared() | Broken() | Measured() | Judged() | ServerLost() | Followed():
            if rollout.has_ended:
                return rollout
            return _confirmed(rollout, event) if rollout.status is Status.FAILING else _happened(rollout, event)
        case _:
            assert_never(event)


def _confirmed(rollout: Rollout, event: Event) -> Rollout:
    """FAILING → ROLLED_BACK: nobody sends the candidate calls any more, or whoever still might would be dead."""
    if isinstance(event, Followed) or event.at - rollout.failed_at >= CONFIRMED_AFTER_S:
        return dataclasses.replace(rollout, status=Status.ROLLED_BACK, ended_at=event.at)
    return rollout


def _happened(rollout: Rollout, event: Prepared | Broken | Measured | Judged | ServerLost | Followed) -> Rollout:
    after = rollout
    match event:
        case Prepared():
            if rollout.status is Status.PREPARING:
                loaded = " and ".join(map(str, rollout.candidates))
                after = transitions.entered(rollout, 0, event.at, f"every server can serve {loaded}")
        case Broken():
            after = transitions.failing(rollout, event.at, event.reason)
        case Measured():
            if rollout.slow_s is None and rollout.spec.guardrails.latency.enabled:
                after = dataclasses.replace(rollout, slow_s=event.slow_s)
        case Judged():
            after = _judged(rollout, event.at, event.verdict)
        case ServerLost():
            after = _left_by_server(rollout, event.at)
        case Followed():
            pass
        case _:
            assert_never(event)
    return after


def _judged(rollout: Rollout, at: float, verdict: Verdict) -> Rollout:
    """A FAIL counts wherever the rollout stands, all else only while a stage's clock runs."""
    if verdict.outcome is Outcome.FAIL:
        return transitions.failing(rollout, at, verdict.reason)
    if rollout.status is Status.WAITING and rollout.current.approval is not None:
        return _unapproved(rollout, at)
    if rollout.status is not Status.RUNNING or at - rollout.stage_at < rollout.current.shortest_s:
        return rollout
    if isinstance(rollout.current.plan, AbStage):
        return _tested(rollout, rollout.current.plan, at, verdict)
    if verdict.outcome is Outcome.PASS:
        why = f"{stage_text(rollout.current)} has passed: {verdict.reason}"
        return transitions.entered(rollout, rollout.stage + 1, at, why)
    return _undecided(rollout, at, verdict)


def _unapproved(rollout: Rollout, at: float) -> Rollout:
    longest_s = rollout.current.longest_s
    is_late = longest_s is not None and at - rollout.stage_at >= longest_s
    if is_late and rollout.spec.on_inconclusive == "rollback":
        return transitions.failing(rollout, at, f"nobody has approved it within {longest_s:g} s")
    return rollout


def _undecided(rollout: Rollout, at: float, verdict: Verdict) -> Rollout:
    longest_s = rollout.current.longest_s
    if longest_s is None or at - rollout.stage_at < longest_s:
        return rollout
    why = f"{stage_text(rollout.current)} neither passed nor failed within {longest_s:g} s: {verdict.reason}"
    if rollout.spec.on_inconclusive == "rollback":
        return transitions.failing(rollout, at, why)
    return transitions.waiting(rollout, at, f"{why}; resume it, promote it with force, or abort it")


def _tested(rollout: Rollout, test: AbStage, at: float, verdict: Verdict) -> Rollout:
    """A test ends with the winner if it may name one; otherwise with its time, and a person names one."""
    if test.winner == "best" and verdict.winner:
        versions = {version.number: version for version in (*rollout.candidates, rollout.baseline)}
        assert verdict.winner in versions, f"{verdict.winner} is none of {versions}: this is a bug"
        shown = [check for check in verdict.checks if check.version == verdict.winner and check.outcome is Outcome.PASS]
        # Its interval comes last, and says by what it has won.
        why = shown[-1].sentence if shown else verdict.reason
        return transitions.succeeded(rollout, versions[verdict.winner], at, f"it has won the test: {why}")
    if at - rollout.stage_at < test.max_s:
        return rollout
    why = f"the test has run for {test.max_s:g} s: {verdict.reason}"
    return transitions.waiting(rollout, at, f"{why}; promote a version, resume the test, or abort it")


def _left_by_server(rollout: Rollout, at: float) -> Rollout:
    """A server died that had the candidate loaded; while it loads or is called, that may be why."""
    after = dataclasses.replace(rollout, lost_servers=rollout.lost_servers + 1)
    if after.lost_servers >= FATAL_LOSSES and (rollout.status is Status.PREPARING or is_exposed(rollout)):
        return transitions.failing(after, at, f"servers that had it loaded died {after.lost_servers} times")
    # Said once: the reason is a sentence, not a list.
    note = "" if rollout.lost_servers else "; a server that had it loaded died"
    return dataclasses.replace(after, reason=rollout.reason + note)
