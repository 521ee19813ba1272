"""How what is decided about a model's calls is written as JSON and read back; versions stand in it by number."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from serinus.core.traffic import (
    NO_TRAFFIC,
    WHOLE,
    Arm,
    Constant,
    FallbackPolicy,
    Likeness,
    Measure,
    MirrorPlan,
    Observation,
    OtherVersion,
    Rule,
    Traffic,
    TrafficSplit,
    Trigger,
)
from serinus.core.version import ModelVersion
from serinus.registry.sql.documents import Document
from serinus.telemetry.logs import get_logger

Versions = Mapping[int, ModelVersion]
"""Those of a model, by number."""

_log = get_logger(__name__)


def traffic_document(traffic: Traffic) -> Document:
    """`traffic` as JSON; {} where nothing was decided."""
    if traffic == NO_TRAFFIC:
        return {}
    return {
        "split": None if traffic.split is None else split_document(traffic.split),
        "fallback": None if traffic.fallback is None else fallback_document(traffic.fallback),
        "rollout": traffic.rollout,
        "kept": [version.number for version in traffic.kept],
        "breaker_resets": traffic.breaker_resets,
    }


def traffic_of(document: Document, versions: Versions) -> Traffic:
    """What `traffic_document` wrote.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it wrote no such thing, or a version is gone.
    """
    if not document:
        return NO_TRAFFIC
    split, fallback = document["split"], document["fallback"]
    return Traffic(
        split=None if split is None else _split_of(split, versions),
        fallback=None if fallback is None else fallback_of(fallback),
        rollout=document["rollout"],
        kept=tuple(versions[number] for number in document["kept"]),
        breaker_resets=document["breaker_resets"],
    )


def readable_traffic(model: str, document: Document, versions: Versions) -> Traffic:
    """What `traffic_document` wrote; nothing, as the log says, where it cannot be read: the model serves without it."""
    try:
        return traffic_of(document, versions)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        _log.error("traffic left out: it cannot be read", model=model, error=type(error).__name__)
        return NO_TRAFFIC


def split_document(split: TrafficSplit) -> Document:
    """`split` as JSON."""
    mirror, observation = split.mirror, split.observation
    return {
        "salt": split.salt,
        "arms": [[arm.version.number, arm.weight] for arm in split.arms],
        "rules": [
            {"attribute": rule.attribute, "values": sorted(rule.values), "version": rule.version.number}
            for rule in split.rules
        ],
        "mirror": None if mirror is None else _mirror_document(mirror),
        "observation": None if observation is None else _observation_document(observation),
        "rescue": split.rescue,
    }


def _split_of(document: Document, versions: Versions) -> TrafficSplit:
    arms = tuple(Arm(versions[number], int(weight)) for number, weight in document["arms"])
    if not arms or sum(arm.weight for arm in arms) != WHOLE or min(arm.weight for arm in arms) < 0:
        raise ValueError("weights do not make a whole")
    mirror, observation = document["mirror"], document["observation"]
    return TrafficSplit(
        salt=document["salt"],
        arms=arms,
        rules=tuple(
            Rule(each["attribute"], frozenset(each["values"]), versions[each["version"]]) for each in document["rules"]
        ),
        mirror=None if mirror is None else _mirror_of(mirror, versions),
        observation=None if observation is None else _observation_of(observation),
        rescue=document["rescue"],
    )


def _mirror_document(mirror: MirrorPlan) -> Document:
    likeness = mirror.likeness
    return {
        "version": mirror.version.number,
        "share": mirror.share,
        "measure": likeness.measure.value,
        "absolute": likeness.absolute,
        "relative": likeness.relative,
        "cosine": likeness.cosine,
        "timeout_s": mirror.timeout_s,
    }


def _mirror_of(document: Document, versions: Versions) -> MirrorPlan:
    likeness = Likeness(Measure(document["measure"]), document["absolute"], document["relative"], document["cosine"])
    return MirrorPlan(versions[document["version"]], document["share"], likeness, document["timeout_s"])


def _observation_document(observation: Observation) -> Document:
    return {
        "rollout": observation.rollout,
        "segment": observation.segment,
        "slow_s": observation.slow_s,
        "skip_first": observation.skip_first,
        "ranges": _ranges_document(observation.ranges),
    }


def _observation_of(document: Document) -> Observation:
    return Observation(
        rollout=document["rollout"],
        segment=document["segment"],
        slow_s=document["slow_s"],
        skip_first=document["skip_first"],
        ranges=_ranges_of(document["ranges"]),
    )


def fallback_document(policy: FallbackPolicy) -> Document:
    """`policy` as JSON."""
    return {
        "targets": [_target_document(target) for target in policy.targets],
        "triggers": sorted(trigger.value for trigger in policy.triggers),
        "attempt_timeout_s": policy.attempt_timeout_s,
        "budget": policy.budget,
        "ranges": _ranges_document(policy.ranges),
    }


def fallback_of(document: Document) -> FallbackPolicy:
    """What `fallback_document` wrote."""
    return FallbackPolicy(
        targets=tuple(_target_of(each) for each in document["targets"]),
        triggers=frozenset(Trigger(each) for each in document["triggers"]),
        attempt_timeout_s=document["attempt_timeout_s"],
        budget=document["budget"],
        ranges=_ranges_of(document["ranges"]),
    )


def _target_document(target: OtherVersion | Constant) -> Document:
    match target:
        case OtherVersion():
            return {"model": target.model, "selector": target.selector}
        case Constant():
            return {"outputs": dict(target.outputs)}


def _target_of(document: Document) -> OtherVersion | Constant:
    if "outputs" in document:
        return Constant(document["outputs"])
    return OtherVersion(document["model"], document["selector"])


def _ranges_document(ranges: Mapping[str, tuple[float, float]]) -> Document:
    # A range may be open at one end, and JSON has no infinities.
    return {
        name: [end if math.isfinite(end) else str(end) for end in (lowest, highest)]
        for name, (lowest, highest) in sorted(ranges.items())
    }


def _ranges_of(document: Mapping[str, Sequence[Any]]) -> Mapping[str, tuple[float, float]]:
    return {name: (float(lowest), float(highest)) for name, (lowest, highest) in document.items()}
