"""Rollouts as a server tells of them, made by hand."""

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from serinus_api.v1 import admin_pb2 as pb

STARTED_S = 1_700_000_000
STAGES = ("shadow 10 %", "canary 5 %", "canary 10 %", "canary 50 %", "canary 100 %")


def at(seconds: float) -> Timestamp:
    """So many seconds after the rollout's start."""
    return Timestamp(seconds=STARTED_S + int(seconds))


def check(name: str = "errors", outcome: Any = pb.OUTCOME_INCONCLUSIVE, **fields: Any) -> pb.RolloutCheck:
    """One guardrail's part of a verdict."""
    given = {
        "version": "1.1.0", "e_value": 41.2, "limit": 250.0, "candidate": 0.0558, "baseline": 0.001, "bound": 3.2,
        "bound_limit": 1.5, "count": 412, "sentence": f"{name}: 23 of 412 calls against 8 of 7,830",
    }  # fmt: skip
    given |= fields
    return pb.RolloutCheck(
        name=name, outcome=outcome, **{key: value for key, value in given.items() if value is not None}
    )


def rollout(**changes: Any) -> pb.Rollout:
    """In its canary stage at 5 percent, 45 seconds into it, 90 after the start."""
    given: dict[str, Any] = {
        "id": "r-1",
        "revision": 7,
        "model": "magika",
        "baseline": "1.0.0",
        "candidates": ["1.1.0"],
        "status": pb.ROLLOUT_STATUS_RUNNING,
        "stage": 1,
        "stages": STAGES,
        "stage_began_at": at(45),
        "started_at": at(0),
        "started_by": "ann@here",
        "spec_yaml": "model: magika\ncandidate: 1.1.0\n",
        "slow_s": 0.02,
        "arms": [
            pb.ArmStatus(
                version="1.0.0", weight=95, exposures=7830, errors=8, slow=71, total_exposures=12_000, rate=47.5,
                p50_s=0.0012, p99_s=0.019,
            ),
            pb.ArmStatus(
                version="1.1.0", weight=5, exposures=412, errors=23, slow=4, invalid=1, total_exposures=415, rate=2.5,
                p50_s=0.0011, p99_s=0.025,
            ),
        ],
        "verdict": pb.RolloutVerdict(
            outcome=pb.OUTCOME_INCONCLUSIVE, reason="errors are not decided yet",
            checks=[check(), check("latency", pb.OUTCOME_PASS, e_value=0.2, candidate=0.0097, bound=1.4)],
        ),
        "waits_for": ["412 of 500 calls of magika@1.1.0"],
    }  # fmt: skip
    given |= changes
    return pb.Rollout(**{key: value for key, value in given.items() if value is not None})


def ended(status: Any = pb.ROLLOUT_STATUS_SUCCEEDED, **changes: Any) -> pb.Rollout:
    """The same after its end, at 300 seconds."""
    return rollout(status=status, ended_at=at(300), waits_for=[], **changes)
