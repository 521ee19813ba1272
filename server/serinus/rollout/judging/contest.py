"""Says which arm of an A/B test is better than all others, beyond doubt."""

import dataclasses
from typing import Final

from serinus.config.rollout_spec import AbStage, MetricGuardrail
from serinus.core.version import ModelVersion
from serinus.core.windows import MetricWindow
from serinus.rollout.judging.evidence import Evidence
from serinus.rollout.judging.mean_checks import Badness, badness_of, value_of
from serinus.rollout.judging.tallies import RATES, ArmTotals
from serinus.rollout.judging.wording import whole
from serinus.rollout.rollout import Check, Outcome, Rollout

INTERVAL: Final = "interval"
"""Name of the checks that say where each arm's mean lies."""

_SIDES: Final = 2  # of an interval


@dataclasses.dataclass(frozen=True, slots=True)
class Contest:
    """How the arms of an A/B test compare.

    Attributes:
        checks: One for each arm, stable's last: its interval; it passes if the arm has won.
        winner: Number of the version that is better than all others beyond doubt; 0 for none.
    """

    checks: tuple[Check, ...]
    winner: int


def contest(evidence: Evidence, rollout: Rollout, test: AbStage) -> Contest:
    """Compare all arms by the test's metric.

    Each mean lies in its interval at all times, all of them together but for a probability of alpha; so an arm whose
    interval lies on the better side of all others has won whenever anybody looks.
    """
    versions = (*rollout.candidates, rollout.baseline)
    metric = next((each for each in rollout.spec.guardrails.metrics if each.name == test.metric), None)
    alpha = rollout.spec.guardrails.alpha / len(versions) / _SIDES
    arms = {version.number: _badness(evidence, version, test.metric, metric) for version in versions}
    intervals = {number: (arm.lowest(alpha), arm.highest(alpha)) for number, arm in arms.items()}
    winner = next(
        (
            number
            for number, (_, highest) in intervals.items()
            if all(highest < lowest for other, (lowest, _) in intervals.items() if other != number)
        ),
        0,
    )
    baseline = _mean(arms[rollout.baseline.number], metric)
    checks = tuple(
        Check(
            name=INTERVAL,
            version=version.number,
            outcome=Outcome.PASS if version.number == winner else Outcome.INCONCLUSIVE,
            e_value=1.0,
            limit=1.0 / alpha,
            candidate=_mean(arms[version.number], metric),
            baseline=baseline,
            bound=None,
            bound_limit=None,
            count=int(arms[version.number].count),
            sentence=_sentence(version, test.metric, metric, arms[version.number], intervals[version.number]),
        )
        for version in versions
    )
    return Contest(checks, winner)


def _badness(evidence: Evidence, version: ModelVersion, name: str, metric: MetricGuardrail | None) -> Badness:
    if metric is not None:
        return badness_of(metric, evidence.metrics.get(name, {}).get(version.number, MetricWindow()))
    assert name in RATES, f"{name} is neither a rate nor a metric: this is a bug"
    tally = evidence.stage_arms.get(version.number, ArmTotals()).of(name)
    return Badness(tally.trials, tally.failures)


def _value(badness: float, metric: MetricGuardrail | None) -> float:
    """A badness as a person reads it; that of a rate is the rate."""
    return badness if metric is None else value_of(badness, metric)


def _mean(arm: Badness, metric: MetricGuardrail | None) -> float | None:
    return None if arm.mean is None else _value(arm.mean, metric)


def _sentence(
    version: ModelVersion, name: str, metric: MetricGuardrail | None, arm: Badness, interval: tuple[float, float]
) -> str:
    low, high = sorted(_value(end, metric) for end in interval)
    mean = _mean(arm, metric)
    found = "nothing is known" if mean is None else f"{mean:.4g}, between {low:.4g} and {high:.4g}"
    return f"{name} of {version}: {found}, {whole(arm.count)} counted"
