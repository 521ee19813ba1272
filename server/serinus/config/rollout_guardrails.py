"""What fails a rollout, as an operator writes it: the checks, their limits, and how alpha is shared out among them."""

from typing import Literal, Self

from pydantic import Field, model_validator

from serinus.config.fields import Number, Section, Whole
from serinus.config.version_facts import Line, TagName

_CHECKS = frozenset({"errors", "latency", "invalid", "disagreement", "consecutive"})
"""What is judged without anybody's report."""


SCHEDULING_S = 0.002
"""By so much the event loop and the machine delay a call now and then, whatever the model does."""


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
        limit_s: What is slow; None stands for the version's SLO, or else for (1 + slack) times stable's p99 when the
            rollout starts, and `SCHEDULING_S` more at least.
        slack: How much slower than stable's slowest calls is slow. A candidate's calls are run apart from stable's,
            which alone makes a few of them as late as the slowest.
    """

    limit_s: Number | None = Field(default=None, gt=0, le=3600)
    slack: Number = Field(default=0.5, ge=0, le=100)  # what is twice as slow shows, what is a tenth slower does not


class InvalidGuardrail(RateGuardrail):
    """The same for answers that cannot be meant: NaN, infinities, values out of range.

    Attributes:
        ranges: Lowest and highest value allowed, by output.
    """

    share: Number = Field(default=2, gt=0, le=1000)
    ranges: dict[Line, tuple[Number, Number]] = Field(default_factory=dict, max_length=256)

    @model_validator(mode="after")
    def _ranges_hold_something(self) -> Self:
        for output, (lowest, highest) in self.ranges.items():
            if lowest > highest:
                raise ValueError(f"ranges.{output}: expected at least the lowest, {lowest:g}, got {highest:g}")
        return self


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
        if self.limit is not None and not self.lowest <= self.limit <= self.highest:
            raise ValueError(f"limit: expected from {self.lowest:g} to {self.highest:g}, got {self.limit:g}")
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
        if len(set(names)) != len(names) or _CHECKS & set(names):
            raise ValueError(f"metrics: expected names of their own, each once, got {', '.join(names)}")
        return self

    @property
    def of_calls(self) -> tuple[str, ...]:
        """Names of what is judged about the calls that a candidate answers."""
        rates = {"errors": self.errors, "latency": self.latency, "invalid": self.invalid}
        return (*(name for name, rate in rates.items() if rate.enabled), *(metric.name for metric in self.metrics))
