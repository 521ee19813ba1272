"""The stages of a rollout, as an operator writes them: what a candidate must go through."""

import math
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from serinus.config.fields import Number, Section, Whole
from serinus.config.version_facts import Line
from serinus.core.selector import STABLE
from serinus.core.traffic import WHOLE, Likeness, Measure

DAY_S: Final = 86_400

Item = TypeVar("Item")


def weight_of(percent: float) -> int:
    """A percentage as a weight of `WHOLE`."""
    return round(percent * WHOLE / 100)


def _percent(value: float) -> float:
    # 0.07 is no sum of halves, quarters and so on, and what it becomes times 100 is not quite 7.
    if not math.isclose(weight_of(value), value * WHOLE / 100):
        raise ValueError(f"expected steps of 0.01 percent, got {value:g}")
    return value


def some(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """`items`, of which there must be one.

    Pydantic's own check of a tuple's length would call one with a bad item empty as well.
    """
    if not items:
        raise ValueError("expected at least one, got none")
    return items


Percent = Annotated[Number, Field(gt=0, le=100), AfterValidator(_percent)]
Seconds = Annotated[Number, Field(ge=0, le=30 * DAY_S)]


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
        keep_s: How long it is watched before, and the old version kept loaded.
        max_s: When `on_inconclusive` decides; the old version is kept loaded until it has.
    """

    min_requests: Whole = Field(default=100, ge=0, le=10**9)  # the switch must have met real calls
    keep_s: Seconds = 600  # what is wrong for everybody shows in minutes
    max_s: Seconds = DAY_S


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

    arms: Annotated[tuple[AbArm, ...], AfterValidator(some)] = Field(max_length=15)
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
        versions = [arm.version for arm in self.arms]
        if len(set(versions)) != len(versions) or {"", STABLE} & set(versions):
            raise ValueError(f"arms: expected each version once, and not stable, got {', '.join(versions)}")
        return self


AnyStage = ShadowStage | CanaryStage | ApprovalStage | BlueGreenStage | AbStage


class Stage(Section):
    """One step of a plan; exactly one of its keys is given. A key without a value stands for its defaults."""

    shadow: ShadowStage | None = None
    canary: CanaryStage | None = None
    approval: ApprovalStage | None = None
    blue_green: BlueGreenStage | None = None
    ab: AbStage | None = None

    @model_validator(mode="before")
    @classmethod
    def _lone_key(cls, value: object) -> object:
        # YAML's `- approval:` names a stage of which there is nothing more to say.
        return {key: {} for key in value} if isinstance(value, dict) and list(value.values()) == [None] else value

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        kinds = list(type(self).model_fields)
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            key = given[-1] if given else kinds[0]
            raise ValueError(f"{key}: expected exactly one of {', '.join(kinds)}, got {', '.join(given) or 'none'}")
        if self.longest_s is not None and self.longest_s < self.shortest_s:
            raise ValueError(
                f"{self.kind}.max_s: expected at least {self.shortest_s:g}, before which the stage cannot pass, got"
                f" {self.longest_s:g}"
            )
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

    @property
    def shortest_s(self) -> float:
        """Seconds before it can pass."""
        match self.plan:
            case BlueGreenStage() as plan:
                return plan.keep_s
            case ApprovalStage():
                return 0.0
            case ShadowStage() | CanaryStage() | AbStage() as plan:
                return plan.min_s

    @property
    def longest_s(self) -> float | None:
        """Seconds after which `on_inconclusive` decides; None for never."""
        return self.plan.max_s


def default_stages() -> tuple[Stage, ...]:
    """Shadow, then canary at 5, 10, 50 and 100 percent."""
    return (
        Stage(shadow=ShadowStage()),
        *(Stage(canary=CanaryStage(weight=percent)) for percent in (5, 10, 50, 100)),
    )
