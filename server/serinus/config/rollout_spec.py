"""What an operator says about a rollout: the YAML or JSON of `serinus rollout start -f`."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from serinus.config.errors import ConfigError
from serinus.config.fields import ModelName, Section, Whole
from serinus.config.problems import sentences
from serinus.config.rollout_guardrails import (
    DisagreementGuardrail,
    Guardrails,
    InvalidGuardrail,
    LatencyGuardrail,
    MetricGuardrail,
    RateGuardrail,
)
from serinus.config.rollout_stages import (
    DAY_S,
    AbArm,
    AbStage,
    AnyStage,
    ApprovalStage,
    BlueGreenStage,
    CanaryStage,
    ShadowStage,
    Stage,
    default_stages,
    some,
    weight_of,
)
from serinus.config.version_facts import Line, TagName
from serinus.config.yaml_text import read_yaml
from serinus.core.selector import STABLE
from serinus.core.traffic import WHOLE

# A spec is written in these words, so whoever reads one finds them here.
__all__ = [
    "DAY_S",
    "LONGEST_SPEC_BYTES",
    "AbArm",
    "AbStage",
    "AnyStage",
    "ApprovalStage",
    "BlueGreenStage",
    "CanaryStage",
    "DisagreementGuardrail",
    "Guardrails",
    "InvalidGuardrail",
    "LatencyGuardrail",
    "MetricGuardrail",
    "RateGuardrail",
    "RolloutSpec",
    "RuleSpec",
    "ShadowStage",
    "Stage",
    "default_stages",
    "dump_rollout_spec",
    "parse_rollout_spec",
    "weight_of",
]

LONGEST_SPEC_BYTES = 1 << 16  # a plan of a hundred stages fits

_MOST_STAGES = 32


class RuleSpec(Section):
    """Callers that reach one version whatever the weights are.

    Attributes:
        attribute: What they say of themselves; the header `x-serinus-NAME`, or an attribute of the request.
        values: Any of them matches.
        version: "candidate", "stable", or an arm of an A/B test as it is written there.
    """

    attribute: TagName
    values: Annotated[tuple[Line, ...], AfterValidator(some)] = Field(max_length=1000)
    version: Line = "candidate"


class RolloutSpec(Section):
    """A whole rollout.

    Attributes:
        model: Its name.
        candidate: Selector of the version that is to become stable; "" for an A/B test, which names its own.
        stages: What it goes through, in order.
        guardrails: What fails it.
        on_inconclusive: What happens when a stage's time is over and it neither passed nor failed: "hold" waits for a
            person, "rollback" takes the candidate out.
        rescue: Whether stable answers the calls that the candidate cannot; both runs share the caller's deadline.
        rules: Callers that reach one version whatever the weights are; from the first stage on in which the candidate
            answers calls: an approval before it is asked before any rule holds.
        warm_up_requests: First calls of the candidate on each server, which do not count.
        force: Start even though the last rollout of the same candidate failed.
    """

    model: ModelName
    candidate: Line = ""
    stages: Annotated[tuple[Stage, ...], AfterValidator(some)] = Field(
        default_factory=default_stages, max_length=_MOST_STAGES
    )
    guardrails: Guardrails = Guardrails()
    on_inconclusive: Literal["hold", "rollback"] = "hold"
    rescue: bool = True
    rules: tuple[RuleSpec, ...] = Field(default=(), max_length=64)
    warm_up_requests: Whole = Field(default=10, ge=0, le=10_000)
    force: bool = False

    @property
    def is_trial(self) -> bool:
        """Whether it only compares: it moves nothing, and need not end with everything moved."""
        return {stage.kind for stage in self.stages} <= {"shadow", "approval"}

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Self:
        kinds = [stage.kind for stage in self.stages]
        if "ab" in kinds:
            _check_test(self, kinds)
        else:
            _check_plan(self, kinds)
        return self

    @model_validator(mode="after")
    def _rules_hold_sometimes(self) -> Self:
        if self.rules and self.is_trial:
            raise ValueError("rules: expected none in a plan whose candidate answers no calls")
        arms = self.stages[0].ab.arms if self.stages[0].ab is not None else ()
        known = [*([arm.version for arm in arms] or ["candidate"]), STABLE]
        for place, rule in enumerate(self.rules):
            if rule.version not in known:
                raise ValueError(f"rules[{place}].version: expected one of {', '.join(known)}, got {rule.version!r}")
        return self

    @model_validator(mode="after")
    def _something_is_judged(self) -> Self:
        if not self.is_trial and not self.guardrails.of_calls:
            raise ValueError(
                "guardrails: expected errors, latency, invalid or a metric to be enabled, got none of them"
            )
        if not self.guardrails.disagreement.enabled and any(stage.shadow is not None for stage in self.stages):
            raise ValueError("guardrails.disagreement.enabled: expected true in a plan with a shadow stage, got false")
        return self


def _check_test(spec: RolloutSpec, kinds: Sequence[str]) -> None:
    """Raise ValueError if a plan with an A/B test cannot be meant."""
    if kinds != ["ab"]:
        raise ValueError(f"stages: expected an ab stage to be the only one, got {', '.join(kinds)}")
    if spec.candidate:
        raise ValueError(f"candidate: expected nothing beside an ab stage, got {spec.candidate!r}")
    if spec.on_inconclusive != "hold":
        raise ValueError("on_inconclusive: expected 'hold': when an A/B test ends without a winner, a person decides")
    test = spec.stages[0].ab
    known = [name for name in spec.guardrails.of_calls if name != "invalid"]
    if test is not None and test.metric not in known:
        raise ValueError(f"stages[0].ab.metric: expected one of {', '.join(known)}, got {test.metric!r}")


def _check_plan(spec: RolloutSpec, kinds: Sequence[str]) -> None:
    """Raise ValueError if a plan with one candidate cannot be meant."""
    if spec.candidate in {"", STABLE}:
        raise ValueError(f"candidate: expected a version other than stable, got {spec.candidate!r}")
    weights = [stage.canary.weight if stage.canary is not None else 0.0 for stage in spec.stages]
    moving = [weight for weight in weights if weight]
    if moving != sorted(moving):
        raise ValueError(f"stages: expected canary weights that never fall, got {', '.join(map(str, moving))}")
    if "blue_green" in kinds[:-1]:
        raise ValueError("stages: expected nothing behind a blue_green stage")
    is_moved = weight_of(max(weights)) == WHOLE
    if not is_moved and not spec.is_trial and kinds[-1] != "blue_green":
        raise ValueError("stages: expected the last weight to be 100, or a blue_green stage")
    if is_moved and "shadow" in kinds[weights.index(max(weights)) :]:
        raise ValueError("stages: expected no shadow stage behind a weight of 100, which leaves no calls to compare")


def parse_rollout_spec(text: str) -> RolloutSpec:
    """Read the YAML or JSON of a rollout.

    Raises:
        ConfigError: it is neither, or says what cannot be meant; all such things at once.
    """
    document = read_yaml(text, longest_bytes=LONGEST_SPEC_BYTES)
    if not isinstance(document, dict):
        raise ConfigError(["expected keys with values, such as 'model' and 'candidate'"])
    try:
        return RolloutSpec.model_validate(document)
    except ValidationError as error:
        raise ConfigError(sentences(error, RolloutSpec, lambda _key: "", most=_MOST_STAGES)) from error


def dump_rollout_spec(spec: RolloutSpec) -> str:
    """The YAML that `parse_rollout_spec` reads as `spec`; what has its default value is left out."""
    return yaml.safe_dump(spec.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)
