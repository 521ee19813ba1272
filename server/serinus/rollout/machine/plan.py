"""How a rollout begins, and what its stages are called."""

from collections.abc import Sequence

from serinus.config.rollout_spec import (
    AbStage,
    ApprovalStage,
    BlueGreenStage,
    CanaryStage,
    RolloutSpec,
    ShadowStage,
    Stage,
    weight_of,
)
from serinus.core.errors import Refused
from serinus.core.traffic import WHOLE
from serinus.core.version import ModelVersion
from serinus.rollout.rollout import Rollout


def new_rollout(
    spec: RolloutSpec,
    rollout_id: str,
    *,
    baseline: ModelVersion,
    candidates: Sequence[ModelVersion],
    salt: str,
    at: float,
    by: str,
    slo_s: float | None = None,
) -> Rollout:
    """A rollout that is being prepared.

    Args:
        spec: What its operator said.
        rollout_id: Unique.
        baseline: What is stable now.
        candidates: What the spec's selectors mean: the candidate, or each arm of an A/B test, in order.
        salt: Of its splits; another one than that of any other rollout.
        at: Seconds since 1970.
        by: Who.
        slo_s: Latency that callers of the candidate were promised, which counts where the spec names no limit.

    Raises:
        Refused: a candidate is stable already, or two of them are the same.
    """
    assert len(candidates) == len(selectors(spec)), f"{candidates} for {selectors(spec)}: this is a bug"
    for selector, candidate in zip(selectors(spec), candidates, strict=True):
        if candidate == baseline:
            message = f"{selector!r} is {candidate}, which is stable: name a version that is to take its place"
            raise Refused(message, reason="ALREADY_STABLE", field="candidate")
    if len(set(candidates)) != len(candidates):
        named = ", ".join(map(str, candidates))
        raise Refused(f"the arms are {named}: name each version once", reason="SAME_VERSION", field="stages")
    limit_s = spec.guardrails.latency.limit_s
    return Rollout(
        id=rollout_id,
        spec=spec,
        baseline=baseline,
        candidates=tuple(candidates),
        salt=salt,
        started_at=at,
        started_by=by,
        slow_s=slo_s if limit_s is None else limit_s,
        reason=f"every server loads {' and '.join(map(str, candidates))} first",
    )


def check_limit(rollout: Rollout) -> Rollout:
    """Return `rollout` if what is slow will be known: stable tells, unless it gets no calls from the beginning.

    Raises:
        Refused: NO_LIMIT.
    """
    spec = rollout.spec
    first = next((stage for stage in spec.stages if stage.approval is None), None)
    takes_all = first is not None and (
        first.blue_green is not None or (first.canary is not None and weight_of(first.canary.weight) == WHOLE)
    )
    if takes_all and rollout.slow_s is None and spec.guardrails.latency.enabled:
        raise Refused(
            "the plan begins with all calls, and stable's cannot tell what is slow: set guardrails.latency.limit_s, "
            "begin with a shadow or a smaller weight, or set guardrails.latency.enabled to false",
            reason="NO_LIMIT",
            field="guardrails.latency.limit_s",
        )
    return rollout


def stage_text(stage: Stage) -> str:
    """A stage in a few words: "canary 5 %"."""
    match stage.plan:
        case ShadowStage(percent=percent):
            return f"shadow {percent:g} %"
        case CanaryStage(weight=weight):
            return f"canary {weight:g} %"
        case ApprovalStage():
            return "approval"
        case BlueGreenStage():
            return "blue-green"
        case AbStage(arms=arms):
            return "a/b " + ", ".join(f"{arm.version} {arm.weight:g} %" for arm in arms)


def selectors(spec: RolloutSpec) -> Sequence[str]:
    """What the spec calls its candidates."""
    test = spec.stages[0].ab
    return [spec.candidate] if test is None else [arm.version for arm in test.arms]
