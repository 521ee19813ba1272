"""What an operator says about a rollout: the YAML or JSON of `serinus rollout start -f`."""

from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from serinus.config.errors import ConfigError
from serinus.config.fields import ModelName, Number, Section, Whole
from serinus.config.problems import sentences
from serinus.config.version_facts import Line, TagName
from serinus.config.yaml_text import read_yaml
from serinus.core.traffic import WHOLE, Likeness, Measure

LONGEST_SPEC_BYTES = 1 << 16  # a plan of a hundred stages fits
DAY_S = 86_400

_MOST_STAGES = 32


def _percent(value: float) -> float:
    if round(value * WHOLE / 100) != value * WHOLE / 100:
        raise ValueError(f"expected steps of 0.01 percent, got {value:g}")
    return value


Percent = Annotated[Number, Field(gt=0, le=100), AfterValidator(_percent)]
Seconds = Annotated[Number, Field(ge=0, le=30 * DAY_S)]


def weight_of(percent: float) -> int:
    """A percentage as a weight of `WHOLE`."""
    return round(percent * WHOLE / 100)


class ShadowStage(Section):
    """Copies of calls go to the candidate; nobody gets its answers.

    Attributes:
        percent: Of the calls that stable answers.
        min_pairs: Compared calls before the stage can pass.
        min_s: Time before it can pass.
        max_s: When `on_inconclusive` decides.
        measure: How float outputs are compared.
        absolute: For measure "values".
        relative: For measure "values".
        cosine: For measure "cosine".
        timeout_s: Longest wait for the candidate's answer to a copy.
    """

    percent: Percent = 10
    min_pairs: Whole = Field(default=200, ge=1, le=10**9)  # shows a disagreement rate of 3 % or more
    min_s: Seconds = 30  # a few scrapes of every dashboard
    max_s: Seconds = DAY_S
    measure: Measure = Measure.VALUES
    absolute: Number = Field(default=1e-3, ge=0)
    relative: Number = Field(default=1e-2, ge=0)
    cosine: Number = Field(default=0.999, ge=-1, le=1)
    timeout_s: Number = Field(default=30, gt=0, le=3600)

    @property
    def likeness(self) -> Likeness:
        """When two answers count as the same."""
        return Likeness(self.measure, self.absolute, self.relative, self.cosine)


class CanaryStage(Section):
    """The candidate answers a part of the calls.

    Attributes:
        weight: Percent; 100 leaves stable none.
        min_requests: Calls that the candidate has answered in the stage before it can pass.
        min_s: Time before it can pass.
        max_s: When `on_inconclusive` decides.
    """

    weight: Percent
    min_requests: Whole = Field(default=500, ge=1, le=10**9)  # five times what one slow or failing call in 100 needs
    min_s: Seconds = 60  # a minute of traffic differs from the next
    max_s: Seconds = DAY_S


class ApprovalStage(Section):
    """The rollout waits for a person, at the weight it has.

    Attributes:
        note: What that person should look at.
        max_s: When `on_inconclusive` decides; None waits for ever.
    """

    note: Line = ""
    max_s: Seconds | None = None


class BlueGreenStage(Section):
    """All calls go to the candidate at once; what served before stays loaded for an instant return.

    Attributes:
        min_requests: Calls that the candidate has answered since before the rollout can succeed.
        keep_s: How long it is watched, and the old version kept loaded.
    """

    min_requests: Whole = Field(default=100, ge=0, le=10**9)  # the switch must have met real calls
    keep_s: Seconds = 600  # what is wrong for everybody shows in minutes


class AbArm(Section):
    """One version of an A/B test.

    Attributes:
        version: Selector; stable has what the others leave.
        weight: Percent.
    """

    version: Line
    weight: Percent


class AbStage(Section):
    """Several versions share the calls, the same caller always the same one, until somebody decides.

    Attributes:
        arms: Beside stable; together at most 100 percent.
        min_requests: Calls of each arm before a winner can be named.
        min_s: Time before a winner can be named.
        max_s: When the test ends.
        metric: What the winner is better at: one of the guardrails' metrics, "errors" or "latency".
        winner: "none" waits for a person when the test ends; "best" promotes the arm that is better than all others
            beyond doubt, and waits if none is.
    """

    arms: tuple[AbArm, ...] = Field(min_length=1, max_length=15)
    min_requests: Whole = Field(default=1000, ge=1, le=10**9)
    min_s: Seconds = 3600
    max_s: Seconds = 14 * DAY_S
    metric: Line = "errors"
    winner: Literal["none", "best"] = "none"  # what better means for a business is a person's to say

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        total = sum(arm.weight for arm in self.arms)
        if total > 100 + 1e-9:
            raise ValueError(f"arms: expected weights of at most 100 percent together, got {total:g}")
        if len({arm.version for arm in self.arms}) != len(self.arms):
            raise ValueError("arms: expected each version once")
        return self


AnyStage = ShadowStage | CanaryStage | ApprovalStage | BlueGreenStage | AbStage


class Stage(Section):
    """One step of a plan; exactly one of its keys is given."""

    shadow: ShadowStage | None = None
    canary: CanaryStage | None = None
    approval: ApprovalStage | None = None
    blue_green: BlueGreenStage | None = None
    ab: AbStage | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"shadow: expected exactly one of {', '.join(type(self).model_fields)}, got {given}")
        return self

    @property
    def kind(self) -> str:
        """Which key is given."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def plan(self) -> AnyStage:
        """What is said under it."""
        plan: AnyStage = getattr(self, self.kind)
        return plan


def default_stages() -> tuple[Stage, ...]:
    """Shadow, then canary at 5, 10, 50 and 100 percent."""
    return (
        Stage(shadow=ShadowStage()),
        *(Stage(canary=CanaryStage(weight=percent)) for percent in (5, 10, 50, 100)),
    )


class RateGuardrail(Section):
    """A limit on the share of calls that something is wrong with.

    Attributes:
        enabled: Whether it counts.
        share: Its part of alpha, relative to the others'.
        margin: The candidate passes when its odds are at most 1 + margin times stable's, beyond doubt.
        ceiling: Or when its rate is at most this, beyond doubt; the rollout fails when it is above, beyond doubt. None
            for no absolute limit: then nothing passes before enough has failed to compare, tens of thousands of calls.
    """

    enabled: bool = True
    share: Number = Field(default=4, gt=0, le=1000)
    margin: Number = Field(default=0.5, gt=0, le=100)
    ceiling: Number | None = Field(default=0.05, gt=0, lt=1)  # shown by the 500 calls that a stage takes anyway


class LatencyGuardrail(RateGuardrail):
    """The same for calls slower than a limit.

    Attributes:
        limit_s: What is slow; None stands for the version's SLO, or else for stable's p99 when the rollout starts.
    """

    limit_s: Number | None = Field(default=None, gt=0, le=3600)


class InvalidGuardrail(RateGuardrail):
    """The same for answers that cannot be meant: NaN, infinities, values out of range.

    Attributes:
        ranges: Lowest and highest value allowed, by output.
    """

    share: Number = Field(default=2, gt=0, le=1000)
    ranges: dict[Line, tuple[Number, Number]] = Field(default_factory=dict)


class DisagreementGuardrail(Section):
    """A limit on the share of mirrored calls that the candidate answers differently.

    Attributes:
        enabled: Whether it counts.
        limit: The stage passes when the share is at most this, beyond doubt; the rollout fails when it is above.
    """

    enabled: bool = True
    limit: Number = Field(default=0.05, gt=0, lt=1)


class MetricGuardrail(Section):
    """A limit on what is reported about versions: a business or quality metric.

    Attributes:
        name: Under which it is reported.
        higher_is: What a high value means.
        lowest: Least value that can be reported.
        highest: Greatest.
        margin: The candidate's mean may be worse than stable's by this, in the metric's own unit.
        limit: Or must be no worse than this absolute value; None for no absolute limit.
        required: Whether a stage needs enough reports to pass; otherwise it passes without any.
        share: Its part of alpha, relative to the others'.
    """

    name: TagName
    higher_is: Literal["better", "worse"]
    lowest: Number = 0
    highest: Number = 1
    margin: Number = Field(default=0.0, ge=0)
    limit: Number | None = None
    required: bool = True
    share: Number = Field(default=2, gt=0, le=1000)

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(f"highest: expected more than lowest = {self.lowest:g}, got {self.highest:g}")
        return self


class Guardrails(Section):
    """What fails a rollout.

    Attributes:
        alpha: Probability that a candidate which is no worse fails, however often anybody looks, of all checks.
        errors: Calls that the version failed.
        latency: Calls slower than a limit.
        invalid: Answers that cannot be meant.
        disagreement: Mirrored calls that are answered differently.
        metrics: What is reported from outside.
        consecutive: So many failures of the candidate in a row, on one server, while stable is healthy, fail it at
            once; None computes it from alpha.
    """

    alpha: Number = Field(default=0.01, gt=0, le=0.5)
    errors: RateGuardrail = RateGuardrail()
    latency: LatencyGuardrail = LatencyGuardrail()
    invalid: InvalidGuardrail = InvalidGuardrail()
    disagreement: DisagreementGuardrail = DisagreementGuardrail()
    metrics: tuple[MetricGuardrail, ...] = Field(default=(), max_length=32)
    consecutive: Whole | None = Field(default=None, ge=2, le=10_000)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) != len(names) or {"errors", "latency", "invalid", "disagreement"} & set(names):
            raise ValueError(f"metrics: expected names of their own, each once, got {names}")
        return self


class RuleSpec(Section):
    """Callers that reach one version whatever the weights are.

    Attributes:
        attribute: What they say of themselves; the header `x-serinus-NAME`, or an attribute of the request.
        values: Any of them matches.
        version: "candidate", "stable" or a selector.
    """

    attribute: TagName
    values: tuple[Line, ...] = Field(min_length=1, max_length=1000)
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
        rules: Callers that reach one version whatever the weights are; from the first stage on that is no shadow.
        warm_up_requests: First calls of the candidate on each server, which do not count.
        force: Start even though the last rollout of the same candidate failed.
    """

    model: ModelName
    candidate: Line = ""
    stages: tuple[Stage, ...] = Field(default_factory=default_stages, min_length=1, max_length=_MOST_STAGES)
    guardrails: Guardrails = Guardrails()
    on_inconclusive: Literal["hold", "rollback"] = "hold"
    rescue: bool = True
    rules: tuple[RuleSpec, ...] = Field(default=(), max_length=64)
    warm_up_requests: Whole = Field(default=10, ge=0, le=10_000)
    force: bool = False

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Self:
        kinds = [stage.kind for stage in self.stages]
        if "ab" in kinds:
            if kinds != ["ab"]:
                raise ValueError(f"stages: expected an ab stage to be the only one, got {', '.join(kinds)}")
            if self.candidate:
                raise ValueError(f"candidate: expected nothing beside an ab stage, got {self.candidate!r}")
            return self
        if not self.candidate:
            raise ValueError("candidate: expected a version, got nothing")
        weights = [stage.canary.weight for stage in self.stages if stage.canary is not None]
        if weights != sorted(weights):
            raise ValueError(f"stages: expected canary weights that never fall, got {weights}")
        if "blue_green" in kinds[:-1]:
            raise ValueError("stages: expected nothing behind a blue_green stage")
        # What only compares moves nothing, and need not end with everything moved.
        is_trial = set(kinds) <= {"shadow", "approval"}
        if not is_trial and kinds[-1] != "blue_green" and (not weights or weights[-1] != 100):  # noqa: PLR2004 - percent
            raise ValueError("stages: expected the last weight to be 100, or a blue_green stage")
        return self


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
