"""Rollouts of the model `m` from 1.0.0 to 1.1.0, as a registry keeps them, in one line each."""

import dataclasses
from typing import Any

from serinus.core.traffic import WHOLE, Arm, MirrorPlan, Observation, TrafficSplit
from serinus.core.version import ModelVersion, Version
from serinus.core.windows import ArmWindow, ServerWindow
from serinus.registry.rollout_records import RolloutChange

OLD = ModelVersion("m", Version(1), 1)
NEW = ModelVersion("m", Version(1, 1), 2)
GONE = ModelVersion("m", Version(9), 9)


def split_of(weight: int, *, to: ModelVersion = NEW, rollout: str = "r1", segment: int = 0) -> TrafficSplit:
    """`weight` of `WHOLE` to one version, the rest to 1.0.0."""
    arms = (Arm(to, weight), Arm(OLD, WHOLE - weight))
    return TrafficSplit("salt", arms, observation=Observation(rollout, segment) if rollout else None)


def mirrored(version: ModelVersion) -> TrafficSplit:
    """All calls to 1.0.0, copies of some to `version`."""
    return TrafficSplit("salt", (Arm(OLD, WHOLE),), mirror=MirrorPlan(version, 1000))


def change_to(weight: int, **changed: Any) -> RolloutChange:
    """A rollout that runs at that weight."""
    running = RolloutChange(
        status="running",
        is_active=True,
        document={"weight": weight},
        split=split_of(weight),
        kept=(OLD, NEW),
        stable=None,
        owns=True,
        event="judged",
        reason="nothing is wrong",
        numbers={"e": 0.5},
    )
    return dataclasses.replace(running, **changed)


def end(status: str, **changed: Any) -> RolloutChange:
    """A rollout that is over; it leaves nothing behind."""
    over = {"status": status, "is_active": False, "owns": False, "split": None, "kept": (), "event": status}
    return change_to(0, **{**over, **changed})


def window(rollout: str = "r1", server: str = "s1", beat: int = 1, exposures: int = 10) -> ServerWindow:
    """What a server has counted, most of it nothing."""
    arms = {1: ArmWindow(exposures), 2: ArmWindow(exposures // 2, errors=1, run=1, latency=(0, 3, 2))}
    return ServerWindow(rollout, server, beat, 0, 3, frozenset({1, 2}), arms=arms)
