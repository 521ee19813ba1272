"""Judges what has a mean: the share of mirrored calls that differ, and what is reported about versions."""

import dataclasses
from typing import Final

from serinus.config.rollout_spec import MetricGuardrail
from serinus.core.version import ModelVersion
from serinus.core.windows import MetricWindow
from serinus.rollout.judging.alphas import check_alpha, e_value, stage_alpha
from serinus.rollout.judging.evidence import Evidence
from serinus.rollout.judging.statistics import means
from serinus.rollout.judging.wording import listed, odds, percent, whole
from serinus.rollout.rollout import Check, Outcome, Rollout

DISAGREEMENT: Final = "disagreement"
"""Name of the check of mirrored calls."""

# Each test of a metric gets a part of its alpha, as with rates.
_AGAINST_STABLE: Final = 0.5
_BY_ITSELF: Final = 0.25
_FOR_STABLE: Final = 0.25  # that the bound of stable's mean does not hold

_LEAST: Final = 1e-9  # a limit at the very best value leaves no room for logarithms

_NO_REPORTS: Final = MetricWindow()


@dataclasses.dataclass(frozen=True, slots=True)
class Badness:
    """Values as how bad they are, from 0, the best, to 1, so that one direction does for all.

    Attributes:
        count: Values.
        total: Sum of their badness.
    """

    count: float
    total: float

    @property
    def mean(self) -> float | None:
        """None without values."""
        return self.total / self.count if self.count else None

    def highest(self, alpha: float) -> float:
        """What the mean stays below."""
        return means.upper_bound(self.count, self.total, alpha)

    def lowest(self, alpha: float) -> float:
        """What the mean stays above."""
        return means.lower_bound(self.count, self.total, alpha)


def badness_of(guardrail: MetricGuardrail, reported: MetricWindow) -> Badness:
    """Reported values as their badness."""
    span = guardrail.highest - guardrail.lowest
    above = reported.total - reported.count * guardrail.lowest
    total = above / span if guardrail.higher_is == "worse" else reported.count - above / span
    # Sums of floats may leave the range by a rounding error.
    return Badness(reported.count, min(max(total, 0.0), float(reported.count)))


def value_of(badness: float, guardrail: MetricGuardrail) -> float:
    """A badness in the metric's own unit."""
    span = guardrail.highest - guardrail.lowest
    return guardrail.lowest + span * badness if guardrail.higher_is == "worse" else guardrail.highest - span * badness


def disagreement_check(evidence: Evidence, rollout: Rollout, candidate: ModelVersion) -> Check:
    """The share of mirrored calls that the candidate answers differently or not at all, in this stage."""
    pairs = evidence.stage_pairs
    limit, alpha = rollout.spec.guardrails.disagreement.limit, stage_alpha(rollout)
    found = e_value(means.log_evidence_above(pairs.pairs, pairs.disagreements, limit)) if pairs.pairs else 1.0
    highest = means.upper_bound(pairs.pairs, pairs.disagreements, alpha)
    counts = f"{whole(pairs.disagreements)} of {whole(pairs.pairs)} mirrored calls are answered differently"
    if pairs.errors:
        counts += f", {whole(pairs.errors)} of them not at all"
    text = f"{counts}; the share is at most {percent(highest)}, {percent(limit)} is allowed"
    outcome = Outcome.PASS if highest <= limit else Outcome.INCONCLUSIVE
    if found >= 1.0 / alpha:
        text = f"{counts}, {percent(limit)} is allowed; evidence {odds(found)}, the limit is {odds(1.0 / alpha)}"
        outcome = Outcome.FAIL
    if not pairs.pairs:
        text, outcome = "no mirrored calls yet in this stage", Outcome.INCONCLUSIVE
    return Check(
        name=DISAGREEMENT,
        version=candidate.number,
        outcome=outcome,
        e_value=found,
        limit=1.0 / alpha,
        candidate=pairs.disagreements / pairs.pairs if pairs.pairs else None,
        baseline=None,
        bound=highest if pairs.pairs else None,
        bound_limit=limit,
        count=pairs.pairs,
        sentence=f"{DISAGREEMENT}: {text}",
    )


def metric_check(evidence: Evidence, rollout: Rollout, candidate: ModelVersion, guardrail: MetricGuardrail) -> Check:
    """What is reported about a candidate since the rollout began, against stable's and against the limit."""
    reported = evidence.metrics.get(guardrail.name, {})
    own = reported.get(candidate.number, _NO_REPORTS)
    stables = reported.get(evidence.baseline, _NO_REPORTS)
    case = _MetricCase(
        guardrail,
        check_alpha(rollout, guardrail.name),
        badness_of(guardrail, own),
        badness_of(guardrail, stables),
    )
    if guardrail.name in evidence.unusable:
        outcome, text = Outcome.INCONCLUSIVE, "a server reports a sum that is not a number"
    elif not own.count and guardrail.required:
        outcome, text = Outcome.INCONCLUSIVE, "nobody has reported it of the candidate yet"
    elif not own.count:
        outcome, text = Outcome.PASS, "nobody has reported it, and it is not required"
    else:
        outcome, text = case.outcome(), case.sentence()
    return Check(
        name=guardrail.name,
        version=candidate.number,
        outcome=outcome,
        e_value=case.evidence if own.count else 1.0,
        limit=1.0 / case.alpha,
        candidate=own.total / own.count if own.count else None,
        baseline=stables.total / stables.count if stables.count else None,
        bound=case.worse_by if own.count else None,
        bound_limit=guardrail.margin,
        count=own.count,
        sentence=f"{guardrail.name}: {text}",
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _MetricCase:
    guardrail: MetricGuardrail
    alpha: float
    candidate: Badness
    baseline: Badness

    @property
    def span(self) -> float:
        return self.guardrail.highest - self.guardrail.lowest

    @property
    def limit(self) -> float | None:
        """The absolute limit as a badness."""
        guardrail = self.guardrail
        if guardrail.limit is None:
            return None
        return badness_of(guardrail, MetricWindow(1, guardrail.limit)).total

    @property
    def evidence(self) -> float:
        """That the candidate is worse than stable by more than the margin, or than the limit; of both together."""
        logs = [(_AGAINST_STABLE, self._evidence_above(self._tolerated))]
        if self.limit is not None and (self.baseline.mean or 0.0) <= self.limit:
            logs.append((_BY_ITSELF, self._evidence_above(self.limit)))
        return sum(weight * e_value(log) for weight, log in logs)

    @property
    def worse_by(self) -> float:
        """By how much the candidate's mean may be worse than stable's, in the metric's own unit."""
        return self.span * (self._highest - self.baseline.lowest(self.alpha / 2))

    def outcome(self) -> Outcome:
        if self.evidence >= 1.0 / self.alpha:
            return Outcome.FAIL
        is_near = self.worse_by <= self.guardrail.margin
        is_within = self.limit is not None and self._highest <= self.limit
        return Outcome.PASS if is_near or is_within else Outcome.INCONCLUSIVE

    def sentence(self) -> str:
        own, stables = (self._value(arm) for arm in (self.candidate, self.baseline))
        parts = [
            f"{own} in {whole(self.candidate.count)} reports, {stables} in {whole(self.baseline.count)} of stable",
            f"at most {self.worse_by:.4g} worse, {self.guardrail.margin:.4g} is allowed",
            f"evidence {odds(self.evidence)}, the limit is {odds(1.0 / self.alpha)}",
        ]
        return listed(parts)

    @property
    def _highest(self) -> float:
        return self.candidate.highest(self.alpha / 2)

    @property
    def _tolerated(self) -> float:
        return self.baseline.highest(_FOR_STABLE * self.alpha) + self.guardrail.margin / self.span

    def _evidence_above(self, badness: float) -> float:
        if badness >= 1.0:
            return float("-inf")
        return means.log_evidence_above(self.candidate.count, self.candidate.total, max(badness, _LEAST))

    def _value(self, arm: Badness) -> str:
        if arm.mean is None:
            return "nothing"
        return f"{value_of(arm.mean, self.guardrail):.4g}"
