"""What a server says of a rollout, as JSON for programs."""

import json
from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from serinus.cli.models.documents import time_text
from serinus.cli.rollout.words import outcome_name, status_name
from serinus_api.v1 import admin_pb2 as pb


def rollout_document(rollout: pb.Rollout) -> dict[str, object]:
    """A rollout; arms and verdict are empty and null in lists, where the server leaves them out."""
    return {
        "id": rollout.id,
        "revision": rollout.revision,
        "model": rollout.model,
        "baseline": rollout.baseline,
        "candidates": list(rollout.candidates),
        "status": status_name(rollout.status),
        "reason": rollout.reason,
        "stage": rollout.stage,
        "stages": list(rollout.stages),
        "stage_began_at": _time(rollout.stage_began_at),
        "started_at": _time(rollout.started_at),
        "started_by": rollout.started_by,
        "ended_at": _time(rollout.ended_at),
        "spec_yaml": rollout.spec_yaml,
        "slow_s": rollout.slow_s or None,
        "arms": [_arm(arm) for arm in rollout.arms],
        "pairs": {
            "pairs": rollout.pairs.pairs,
            "disagreements": rollout.pairs.disagreements,
            "errors": rollout.pairs.errors,
            "dropped": rollout.pairs.dropped,
        },
        "verdict": verdict_document(rollout.verdict) if rollout.HasField("verdict") else None,
        "waits_for": list(rollout.waits_for),
    }


def _time(at: Timestamp) -> str | None:
    return time_text(at) or None


def _arm(arm: pb.ArmStatus) -> dict[str, object]:
    return {
        "version": arm.version,
        "weight_percent": arm.weight,
        "exposures": arm.exposures,
        "errors": arm.errors,
        "slow": arm.slow,
        "invalid": arm.invalid,
        "total_exposures": arm.total_exposures,
        "calls_per_s": arm.rate,
        "p50_s": arm.p50_s,
        "p99_s": arm.p99_s,
        "metrics": {
            name: {"mean": arm.metric_means.get(name), "count": count}
            for name, count in sorted(arm.metric_counts.items())
        },
    }


def verdict_document(verdict: pb.RolloutVerdict) -> dict[str, object]:
    """What the judge says, check by check."""
    return {
        "outcome": outcome_name(verdict.outcome),
        "reason": verdict.reason,
        "winner": verdict.winner or None,
        "checks": [_check(check) for check in verdict.checks],
    }


def _check(check: pb.RolloutCheck) -> dict[str, object]:
    return {
        "name": check.name,
        "version": check.version,
        "outcome": outcome_name(check.outcome),
        "e_value": check.e_value,
        "limit": check.limit,
        "candidate": check.candidate if check.HasField("candidate") else None,
        "baseline": check.baseline if check.HasField("baseline") else None,
        "bound": check.bound if check.HasField("bound") else None,
        "bound_limit": check.bound_limit if check.HasField("bound_limit") else None,
        "count": check.count,
        "sentence": check.sentence,
    }


def event_document(event: pb.RolloutEvent) -> dict[str, object]:
    """One entry of a journal."""
    return {
        "number": event.number,
        "at": _time(event.at),
        "actor": event.actor,
        "event": event.event,
        "status": status_name(event.status),
        "reason": event.reason,
        "numbers": numbers_of(event),
    }


def numbers_of(event: pb.RolloutEvent) -> Mapping[str, object]:
    """The evidence of an entry; {} where there is none, or none that can be read."""
    try:
        numbers = json.loads(event.numbers_json or "{}")
    except (ValueError, RecursionError):
        return {}
    return numbers if isinstance(numbers, dict) else {}


def exposed_by(event: pb.RolloutEvent) -> int | None:
    """Calls that the candidates had got by then; None where the entry does not say."""
    arms = numbers_of(event).get("arms")
    if not isinstance(arms, list) or not all(isinstance(arm, dict) for arm in arms):
        return None
    counts = [arm.get("total_exposures") for arm in arms[1:]]  # the baseline comes first
    return sum(count for count in counts if isinstance(count, int)) if counts else None
