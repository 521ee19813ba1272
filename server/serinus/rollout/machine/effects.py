"""What is in force while a rollout stands where it stands. A function of it alone, so that replaying does no harm."""

import itertools
from collections.abc import Sequence
from typing import assert_never

from serinus.config.rollout_spec import AbStage, ApprovalStage, BlueGreenStage, CanaryStage, ShadowStage, weight_of
from serinus.core.selector import STABLE
from serinus.core.traffic import WHOLE, Arm, MirrorPlan, Observation, Rule, TrafficSplit
from serinus.core.version import ModelVersion
from serinus.rollout.rollout import Effects, Rollout, Status


def effects(rollout: Rollout) -> Effects:
    """What is in force now: the split, what stays loaded, and what `stable` names.

    While it fails, all calls go to the baseline by name, not by the alias, and servers still say what they act by.
    """
    match rollout.status:
        case Status.PREPARING:
            # Nobody is sent to the candidates yet, but a split that names them gets them loaded.
            return Effects(_split(rollout, [0] * len(rollout.candidates)))
        case Status.RUNNING | Status.PAUSED | Status.WAITING:
            return _of_stage(rollout)
        case Status.FAILING:
            return Effects(_split(rollout, []), stable=_taken_back(rollout))
        case Status.SUCCEEDED:
            return Effects(None, stable=_chosen(rollout), owns=False)
        case Status.ROLLED_BACK:
            return Effects(None, owns=False)
        case Status.ABORTED:
            return Effects(None, stable=_taken_back(rollout), owns=False)
        case _:
            assert_never(rollout.status)


def is_exposed(rollout: Rollout) -> bool:
    """Whether a candidate gets calls, or copies of them."""
    split = effects(rollout).split
    if split is None:
        return False
    is_ruled = any(rule.version != rollout.baseline for rule in split.rules)
    return split.mirror is not None or is_ruled or any(arm.weight for arm in split.arms[:-1])


def _of_stage(rollout: Rollout) -> Effects:
    match rollout.current.plan:
        case ShadowStage() as plan:
            mirror = MirrorPlan(rollout.candidates[0], weight_of(plan.percent), plan.likeness, plan.timeout_s)
            return Effects(_split(rollout, [_earned(rollout)], _rules(rollout), mirror))
        case CanaryStage() | ApprovalStage():
            return Effects(_split(rollout, [_earned(rollout)], _rules(rollout)))
        case BlueGreenStage():
            split = _split(rollout, [WHOLE], _rules(rollout))
            return Effects(split, kept=(rollout.baseline,), stable=_chosen(rollout))
        case AbStage(arms=arms):
            return Effects(_split(rollout, [weight_of(arm.weight) for arm in arms], _rules(rollout)))


def _split(
    rollout: Rollout, weights: Sequence[int], rules: tuple[Rule, ...] = (), mirror: MirrorPlan | None = None
) -> TrafficSplit:
    """The split that gives the candidates these weights, and the baseline what they leave; without weights, all."""
    arms = [Arm(version, weight) for version, weight in zip(rollout.candidates, weights, strict=False)]
    return TrafficSplit(
        salt=rollout.salt,
        arms=(*arms, Arm(rollout.baseline, WHOLE - sum(weights))),
        rules=rules,
        mirror=mirror,
        observation=Observation(
            rollout=rollout.id,
            segment=rollout.segment,
            slow_s=rollout.slow_s,
            skip_first=rollout.spec.warm_up_requests,
            ranges=rollout.spec.guardrails.invalid.ranges,
        ),
        rescue=rollout.spec.rescue,
    )


def _earned(rollout: Rollout) -> int:
    """The weight of the last canary stage so far; a shadow or an approval behind one leaves it."""
    reached = rollout.spec.stages[: rollout.stage + 1]
    return max((weight_of(stage.canary.weight) for stage in reached if stage.canary is not None), default=0)


def _rules(rollout: Rollout) -> tuple[Rule, ...]:
    """The rules of the spec once a candidate answers calls; none before."""
    reached = rollout.spec.stages[: rollout.stage + 1]
    if all(stage.kind in {"shadow", "approval"} for stage in reached):
        return ()
    test = rollout.current.ab
    names = ["candidate"] if test is None else [arm.version for arm in test.arms]
    versions = dict(zip(itertools.chain(names, [STABLE]), (*rollout.candidates, rollout.baseline), strict=True))
    return tuple(Rule(rule.attribute, frozenset(rule.values), versions[rule.version]) for rule in rollout.spec.rules)


def _chosen(rollout: Rollout) -> ModelVersion | None:
    """The version that it made stable; None if it left that alone."""
    versions = (*rollout.candidates, rollout.baseline)
    return next((version for version in versions if version.number == rollout.chosen), None)


def _taken_back(rollout: Rollout) -> ModelVersion | None:
    """What is to be stable again; None if it always was."""
    return rollout.baseline if rollout.chosen else None
