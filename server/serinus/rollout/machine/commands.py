"""What a person may decide about a rollout, and when that is refused."""

import dataclasses
from typing import assert_never

from serinus.core.errors import Refused
from serinus.core.version import ModelVersion
from serinus.rollout.machine import transitions
from serinus.rollout.machine.plan import stage_text
from serinus.rollout.rollout import Abort, ForcePromote, Outcome, Pause, Promote, Resume, Rollout, Status

Command = Pause | Resume | Promote | ForcePromote | Abort


def decided(rollout: Rollout, command: Command) -> Rollout:
    """The rollout as a person wants it.

    Raises:
        Refused: it stands where that means nothing; the sentence says what to do instead.
    """
    if rollout.has_ended:
        raise Refused(f"the rollout has ended ({rollout.status.value}): start another one", reason="ROLLOUT_ENDED")
    if rollout.status is Status.FAILING:
        message = "the candidate gets no calls any more: wait for the end, then start another rollout"
        raise Refused(message, reason="ROLLOUT_FAILING")
    match command:
        case Pause():
            return _paused(rollout, command)
        case Resume():
            return _resumed(rollout, command)
        case Promote():
            return _promoted(rollout, command)
        case ForcePromote():
            _check_prepared(rollout)
            version = _named(rollout, command.version)
            return transitions.succeeded(rollout, version, command.at, f"{command.by} has forced it")
        case Abort():
            return _aborted(rollout, command)
        case _:
            assert_never(command)


def _paused(rollout: Rollout, command: Pause) -> Rollout:
    if rollout.status is not Status.RUNNING:
        message = f"the rollout is {rollout.status.value}, so no clock runs that could be stopped"
        raise Refused(message, reason="NOT_RUNNING")
    reason = f"{command.by} has paused {stage_text(rollout.current)}"
    return dataclasses.replace(rollout, status=Status.PAUSED, paused_at=command.at, reason=reason)


def _resumed(rollout: Rollout, command: Resume) -> Rollout:
    # Three cases: a person decided to wait, the stage's time is over, the plan wants to be asked.
    reason = f"{command.by} has resumed {stage_text(rollout.current)}"
    if rollout.status is Status.PAUSED:
        stage_at = rollout.stage_at + max(0.0, command.at - rollout.paused_at)
    elif rollout.status is Status.WAITING and rollout.current.approval is None:
        stage_at = command.at
    elif rollout.status is Status.WAITING:
        raise Refused("the rollout waits for an approval: promote or abort it", reason="NOT_PAUSED")
    else:
        raise Refused(f"the rollout is {rollout.status.value}: there is nothing to resume", reason="NOT_PAUSED")
    return dataclasses.replace(rollout, status=Status.RUNNING, stage_at=stage_at, paused_at=0.0, reason=reason)


def _promoted(rollout: Rollout, command: Promote) -> Rollout:
    _check_prepared(rollout)
    version = _named(rollout, command.version)
    has_passed = command.verdict is not None and command.verdict.outcome is Outcome.PASS
    is_test = rollout.current.ab is not None
    # An approval asks for this very decision, and so does a test whose time is over.
    is_asked = rollout.status is Status.WAITING and (is_test or rollout.current.approval is not None)
    if not has_passed and not is_asked:
        why = command.verdict.reason if command.verdict is not None else "nobody has judged it yet"
        # What to do comes first: a long reason is cut off on its way.
        message = f"{stage_text(rollout.current)} has not passed: wait, or promote with force (--force): {why}"
        raise Refused(message, reason="NOT_PASSED")
    if is_test:
        return transitions.succeeded(rollout, version, command.at, f"{command.by} has promoted it")
    return transitions.entered(rollout, rollout.stage + 1, command.at, f"{command.by} has promoted it")


def _aborted(rollout: Rollout, command: Abort) -> Rollout:
    # The end at once: a server that has not heard of it yet has not heard of what comes next either.
    why = f": {command.reason}" if command.reason else ""
    return dataclasses.replace(
        rollout, status=Status.ABORTED, paused_at=0.0, ended_at=command.at, reason=f"{command.by} has aborted it{why}"
    )


def _check_prepared(rollout: Rollout) -> None:
    if rollout.status is Status.PREPARING:
        message = "not every server can serve the candidate yet: wait until they can, or abort the rollout"
        raise Refused(message, reason="NOT_PREPARED")


def _named(rollout: Rollout, number: int) -> ModelVersion:
    """The version that is to become stable; a test may end with the one that is."""
    is_test = rollout.current.ab is not None
    if not number and not is_test:
        return rollout.candidates[0]
    versions = (*rollout.candidates, rollout.baseline) if is_test else rollout.candidates
    known = ", ".join(version.version_text for version in versions)
    if not number:
        raise Refused(f"the test has several versions: name one of {known}", reason="NEEDS_VERSION", field="version")
    found = next((version for version in versions if version.number == number), None)
    if found is None:
        message = f"the version is none that the rollout could make stable: name one of {known}"
        raise Refused(message, reason="NOT_A_CANDIDATE", field="version")
    return found
