"""How splits, fallbacks and breakers look on the wire."""

import json
from collections.abc import Mapping
from typing import assert_never

from serinus.core.traffic import Constant, FallbackPolicy, OtherVersion
from serinus.core.version import ModelVersion
from serinus.registry.records import ModelRecord
from serinus.serving.routing.gates import BreakerView
from serinus.transport.rollouts.messages import percent_of
from serinus_api.v1 import admin_pb2 as pb


def traffic_message(record: ModelRecord, breakers: Mapping[ModelVersion, BreakerView]) -> pb.ModelTraffic:
    """What is decided about the calls of a model, and what this server's breakers remember of it."""
    traffic = record.traffic
    answer = pb.ModelTraffic(
        model=record.name,
        revision=record.revision,
        rollout=traffic.rollout,
        breakers=[_breaker(version, view) for version, view in breakers.items()],
    )
    if (split := traffic.split) is not None:
        answer.arms.extend(
            pb.SplitArm(version=arm.version.version_text, weight=percent_of(arm.weight)) for arm in split.arms
        )
        answer.rules.extend(
            pb.SplitRule(attribute=rule.attribute, values=sorted(rule.values), version=rule.version.version_text)
            for rule in split.rules
        )
        if (mirror := split.mirror) is not None:
            answer.mirror.version = mirror.version.version_text
            answer.mirror.percent = percent_of(mirror.share)
    if traffic.fallback is not None:
        answer.fallback.CopyFrom(_fallback(record.name, traffic.fallback))
    return answer


def _breaker(version: ModelVersion, view: BreakerView) -> pb.BreakerStatus:
    return pb.BreakerStatus(
        version=version.version_text,
        state=view.state,
        failures_in_a_row=view.failures,
        retry_in_s=view.retry_in_s,
    )


def _fallback(model: str, policy: FallbackPolicy) -> pb.Fallback:
    return pb.Fallback(
        targets=[_target(model, target) for target in policy.targets],
        triggers=sorted(policy.triggers),
        attempt_timeout_s=policy.attempt_timeout_s or 0.0,
        budget=policy.budget,
        ranges={
            output: pb.OutputRange(lowest=lowest, highest=highest)
            for output, (lowest, highest) in policy.ranges.items()
        },
    )


def _target(model: str, target: OtherVersion | Constant) -> pb.FallbackTarget:
    match target:
        case OtherVersion(model=other, selector=selector) if other == model:
            return pb.FallbackTarget(version=selector)
        case OtherVersion(model=other, selector=selector):
            return pb.FallbackTarget(model=f"{other}@{selector}" if selector else other)
        case Constant(outputs=outputs):
            return pb.FallbackTarget(constant_json=json.dumps(outputs))
        case _:
            assert_never(target)
