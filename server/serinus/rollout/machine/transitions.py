"""Where a rollout can go next: the steps that the judge, what happens, and people have in common."""

import dataclasses

from serinus.config.rollout_spec import ApprovalStage, BlueGreenStage
from serinus.core.version import ModelVersion
from serinus.rollout.machine.plan import stage_text
from serinus.rollout.rollout import Rollout, Status


def entered(rollout: Rollout, stage: int, at: float, why: str) -> Rollout:
    """In a stage, or at the end if it is behind the last one.

    Args:
        rollout: Before.
        stage: Index.
        at: Seconds since 1970.
        why: It goes on, a sentence without its full stop.
    """
    if stage == len(rollout.spec.stages):
        return succeeded(rollout, None if rollout.spec.is_trial else rollout.candidates[0], at, why)
    there = dataclasses.replace(rollout, status=Status.RUNNING, stage=stage, stage_at=at, paused_at=0.0)
    reason = f"{stage_text(there.current)} has begun: {why}"
    match there.current.plan:
        case ApprovalStage(note=note):
            asked = f"waits for somebody to promote it ({note})" if note else "waits for somebody to promote it"
            return dataclasses.replace(there, status=Status.WAITING, paused_at=at, reason=f"{asked}: {why}")
        case BlueGreenStage():
            return dataclasses.replace(there, chosen=rollout.candidates[0].number, reason=reason)
        case _:
            return dataclasses.replace(there, reason=reason)


def succeeded(rollout: Rollout, version: ModelVersion | None, at: float, why: str) -> Rollout:
    """At the end, with `version` stable; None leaves that alone."""
    chosen = 0 if version is None else version.number
    what = "all stages are passed" if version is None else f"{version} is stable"
    return dataclasses.replace(
        rollout, status=Status.SUCCEEDED, chosen=chosen, paused_at=0.0, ended_at=at, reason=f"{what}: {why}"
    )


def failing(rollout: Rollout, at: float, why: str) -> Rollout:
    """Without calls from now on, and for ever."""
    return dataclasses.replace(rollout, status=Status.FAILING, failed_at=at, paused_at=0.0, reason=why)


def waiting(rollout: Rollout, at: float, why: str) -> Rollout:
    """Where only a person can move it on; weights stay, and the judge still can fail it."""
    return dataclasses.replace(rollout, status=Status.WAITING, paused_at=at, reason=why)
