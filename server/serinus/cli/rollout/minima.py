"""What a stage must have reached before it can pass, and how far it has come."""

import dataclasses
import functools
from collections.abc import Sequence

from serinus.cli import units
from serinus.cli.rollout.words import ENDS
from serinus.config.errors import ConfigError
from serinus.config.rollout_spec import (
    AbStage,
    ApprovalStage,
    BlueGreenStage,
    CanaryStage,
    RolloutSpec,
    ShadowStage,
    Stage,
    parse_rollout_spec,
)
from serinus_api.v1 import admin_pb2 as pb

_CLOCK_RUNS = frozenset({pb.ROLLOUT_STATUS_RUNNING, *ENDS})


@dataclasses.dataclass(frozen=True)
class Minimum:
    """One thing that a stage needs.

    Attributes:
        share: How far it has come; 1.0 is there.
        text: The same for people.
    """

    share: float
    text: str


@functools.lru_cache(maxsize=8)  # a live view asks for the same one four times a second
def plan_of(spec_yaml: str) -> RolloutSpec | None:
    """What the operator said; None where the server is of another version and knows other words."""
    try:
        return parse_rollout_spec(spec_yaml)
    except ConfigError:
        return None


def stage_seconds(rollout: pb.Rollout, now: float) -> float | None:
    """Seconds that the stage has run; None while it has no clock, or that is stopped.

    Args:
        rollout: As the server said.
        now: Seconds since 1970.
    """
    if not rollout.HasField("stage_began_at") or rollout.status not in _CLOCK_RUNS:
        return None
    end = rollout.ended_at.ToNanoseconds() / 1e9 if rollout.HasField("ended_at") else now
    return max(0.0, end - rollout.stage_began_at.ToNanoseconds() / 1e9)


def longest_s(rollout: pb.Rollout) -> float | None:
    """When `on_inconclusive` decides the stage, in seconds from its beginning; None for never."""
    stage = stage_of(rollout)
    return stage.longest_s if stage is not None else None


def stage_of(rollout: pb.Rollout) -> Stage | None:
    """What was said of the stage that it is in, if that can be read here."""
    spec = plan_of(rollout.spec_yaml)
    return spec.stages[rollout.stage] if spec is not None and rollout.stage < len(spec.stages) else None


def minima(rollout: pb.Rollout, now: float) -> Sequence[Minimum]:
    """What the stage needs, in the order that people ask; () where nothing is counted.

    Args:
        rollout: As the server said.
        now: Seconds since 1970.
    """
    stage = stage_of(rollout)
    if stage is None:
        return ()
    exposures = [arm.exposures for arm in rollout.arms]
    candidates = exposures[1:] or [0]
    match stage.plan:
        case ShadowStage(min_pairs=needed):
            counted = _counted("pairs", rollout.pairs.pairs, needed)
        case CanaryStage(min_requests=needed) | BlueGreenStage(min_requests=needed):
            counted = _counted("calls", min(candidates), needed)
        case AbStage(min_requests=needed):
            counted = _counted("calls of each version", min(exposures or [0]), needed)
        case ApprovalStage():
            return ()
    ran_s = stage_seconds(rollout, now)
    return (counted,) if ran_s is None else (counted, _timed(ran_s, stage.shortest_s))


def _counted(what: str, reached: int, needed: int) -> Minimum:
    return Minimum(min(1.0, reached / needed) if needed else 1.0, f"{what} {reached:,} of {needed:,}")


def _timed(ran_s: float, needed_s: float) -> Minimum:
    share = min(1.0, ran_s / needed_s) if needed_s else 1.0
    return Minimum(share, f"time {units.period(ran_s)} of {units.period(needed_s)}")
