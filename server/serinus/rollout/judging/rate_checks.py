"""Judges the share of a candidate's calls that something is wrong with: against stable, and against a ceiling."""

import dataclasses
import math
from typing import Final

import numpy as np

from serinus.config.rollout_spec import RateGuardrail
from serinus.core.version import ModelVersion
from serinus.rollout.judging.alphas import check_alpha, e_value
from serinus.rollout.judging.evidence import Evidence
from serinus.rollout.judging.statistics import means, ratio
from serinus.rollout.judging.tallies import ERRORS, INVALID, LATENCY, ArmTotals, Tally
from serinus.rollout.judging.wording import duration, odds, percent, whole
from serinus.rollout.rollout import Check, Outcome, Rollout

ENOUGH_CALLS: Final = 200
"""Calls of stable from which its rate or its p99 is known well enough to compare with later."""

# Each test of a check gets a part of its alpha; a weighted mean of e-values is one, so that the parts need one limit.
_AGAINST_STABLE: Final = 0.5
_BY_ITSELF: Final = 0.25  # over all stages together, because each begins to count anew
_FOR_STABLE: Final = 0.25  # that the bound of stable's earlier rate does not hold

_SUSPICIOUS: Final = 1.0
"""Evidence above it speaks against the candidate; then no ceiling lets it pass, which leaves room for worse ones."""

_WHAT: Final = {ERRORS: "failed", INVALID: "were answered with what cannot be meant"}


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """What a rate check is about.

    Attributes:
        name: Of the rate.
        version: The candidate.
        guardrail: Its limit.
        alpha: Error probability of all tests of it.
        stages: How many there are.
        what: Is wrong with such calls, a verb.
        candidate: Since the rollout began.
        baseline: Likewise.
        candidate_now: Since the stage began.
        baseline_now: Likewise.
        log_likelihoods: Of the ratios of `statistics.ratio.ratios`.
    """

    name: str
    version: ModelVersion
    guardrail: RateGuardrail
    alpha: float
    stages: int
    what: str
    candidate: Tally
    baseline: Tally
    candidate_now: Tally
    baseline_now: Tally
    log_likelihoods: tuple[float, ...] | None

    @property
    def limit(self) -> float:
        """Evidence that fails it."""
        return 1.0 / self.alpha

    @property
    def is_stable_above(self) -> bool:
        """Whether stable breaks the ceiling in this stage as well."""
        ceiling = self.guardrail.ceiling
        return ceiling is not None and (self.baseline_now.rate or 0.0) > ceiling

    @property
    def allowed(self) -> float:
        """How many times stable's rate the candidate's may be."""
        return 1.0 + self.guardrail.margin

    def tolerated(self, stable: Tally) -> float:
        """Highest rate of a candidate that is no worse than stable may be; 1.0 or more if little is known of it."""
        return self.allowed * means.upper_bound(stable.trials, stable.failures, self.alpha)

    def tolerated_by_looks(self, stable: Tally) -> float:
        """The same, where failures that come together count as one."""
        if stable.trials < ENOUGH_CALLS:
            return 1.0
        return self.allowed * means.upper_bound(stable.looks, stable.rates, _FOR_STABLE * self.alpha)

    @property
    def log_against_stable(self) -> float:
        """Evidence of all calls that were weighed against stable's, as a logarithm."""
        if self.log_likelihoods is None:
            return 0.0
        return float(ratio.log_evidence_of_worse(np.asarray(self.log_likelihoods)))

    @property
    def ratio_bound(self) -> float:
        """How many times stable's rate the candidate's is at most."""
        if self.log_likelihoods is None:
            return math.inf
        return ratio.upper_bound(self.log_likelihoods, self.guardrail.margin, self.alpha)

    def check(
        self, outcome: Outcome, text: str, evidence: float, bound: float | None, bound_limit: float | None
    ) -> Check:
        """The check with what was found."""
        return Check(
            name=self.name,
            version=self.version.number,
            outcome=outcome,
            e_value=evidence,
            limit=self.limit,
            candidate=self.candidate.rate,
            baseline=self.baseline.rate,
            bound=None if bound is None or math.isinf(bound) else bound,
            bound_limit=bound_limit,
            count=self.candidate_now.trials,
            sentence=f"{self.name}: {text}",
        )

    def counts(self, candidate: Tally, baseline: Tally) -> str:
        """Both arms in words."""
        of_stable = f"{whole(baseline.failures)} of {whole(baseline.trials)} of stable's"
        return f"{whole(candidate.failures)} of {whole(candidate.trials)} calls {self.what}, {of_stable}"


def rate_check(
    evidence: Evidence,
    rollout: Rollout,
    candidate: ModelVersion,
    guardrail: tuple[str, RateGuardrail],
    *,
    has_control: bool,
) -> Check:
    """One of `tallies.RATES` of one candidate.

    Args:
        evidence: All that was counted.
        rollout: Where it stands.
        candidate: Which.
        guardrail: Name of the rate, and its limit.
        has_control: Whether stable gets calls too.
    """
    name, limit = guardrail
    case = Case(
        name=name,
        version=candidate,
        guardrail=limit,
        alpha=check_alpha(rollout, name),
        stages=len(rollout.spec.stages),
        what=_WHAT[name] if name in _WHAT else f"took longer than {duration(rollout.slow_s or 0.0)}",
        candidate=evidence.arms.get(candidate.number, ArmTotals()).of(name),
        baseline=evidence.arms.get(evidence.baseline, ArmTotals()).of(name),
        candidate_now=evidence.stage_arms.get(candidate.number, ArmTotals()).of(name),
        baseline_now=evidence.stage_arms.get(evidence.baseline, ArmTotals()).of(name),
        log_likelihoods=evidence.log_likelihoods.get(name, {}).get(candidate.number),
    )
    if name == LATENCY and rollout.slow_s is None:
        text = f"nobody knows what is slow: no SLO, no limit, and stable has not answered {ENOUGH_CALLS} calls yet"
        return case.check(Outcome.INCONCLUSIVE, text, 1.0, None, None)
    found = _evidence(case, _against_itself(case) if has_control else _against_earlier(case))
    if found >= case.limit:
        counts = case.counts(case.candidate, case.baseline)
        text = f"{counts}; evidence {odds(found)}, the limit is {odds(case.limit)}"
        return case.check(Outcome.FAIL, text, found, case.ratio_bound, case.allowed)
    if not case.candidate_now.trials:
        return case.check(Outcome.INCONCLUSIVE, "no calls of the candidate yet in this stage", found, None, None)
    return _beside_stable(case, found) if has_control else _alone(case, found)


def _evidence(case: Case, logs_by_itself: list[float]) -> float:
    """Evidence of all tests of a check together."""
    by_itself = sum(map(e_value, logs_by_itself)) / len(logs_by_itself) if logs_by_itself else 0.0
    return _AGAINST_STABLE * e_value(case.log_against_stable) + _BY_ITSELF * by_itself / case.stages


def _against_itself(case: Case) -> list[float]:
    """Evidence that the candidate is above the ceiling, unless stable is too."""
    ceiling, now = case.guardrail.ceiling, case.candidate_now
    if ceiling is None or case.is_stable_above:
        return []
    return [means.log_evidence_above(now.trials, now.failures, ceiling)]


def _against_earlier(case: Case) -> list[float]:
    """The same where stable gets no calls, and evidence that the candidate is above what stable was at another time.

    What happens to everybody at one time cannot be told from what is the candidate's fault. So both count by looks and
    not by calls: a burst of failures within a second is one look, however many calls it hits.
    """
    ceiling, now, before = case.guardrail.ceiling, case.candidate_now, case.baseline
    logs = []
    if ceiling is not None and (before.rate or 0.0) <= ceiling:
        logs.append(means.log_evidence_above(now.looks, now.rates, ceiling))
    most = case.tolerated_by_looks(before)
    if most < 1.0:
        logs.append(means.log_evidence_above(now.looks, now.rates, most))
    return logs


def _beside_stable(case: Case, found: float) -> Check:
    """1. It looks worse than stable: wait. 2. Shown to be no worse, or below the ceiling: pass. 3. Else wait."""
    ceiling, now, stable = case.guardrail.ceiling, case.candidate_now, case.baseline_now
    counts = case.counts(case.candidate, case.baseline)
    bound, allowed = case.ratio_bound, case.allowed
    if found >= _SUSPICIOUS:
        text = f"{counts}, which looks worse; evidence {odds(found)}, the limit is {odds(case.limit)}"
        return case.check(Outcome.INCONCLUSIVE, text, found, bound, allowed)
    if bound <= allowed:
        text = f"{counts}; the rate is at most {bound:.3g} times stable's, {allowed:.3g} times is allowed"
        return case.check(Outcome.PASS, text, found, bound, allowed)
    if ceiling is None:
        known = "nothing is known" if math.isinf(bound) else f"the rate is at most {bound:.3g} times stable's"
        text = f"{counts}; too few have failed to compare: {known}, {allowed:.3g} times is allowed"
        return case.check(Outcome.INCONCLUSIVE, text, found, bound, allowed)
    counts = case.counts(now, stable)
    if case.is_stable_above:
        text = f"{counts}: stable is above {percent(ceiling)} too, which is not held against the candidate"
        return case.check(Outcome.INCONCLUSIVE, text, found, bound, allowed)
    return _below_ceiling(case, found, ceiling, case.tolerated(stable), counts)


def _alone(case: Case, found: float) -> Check:
    """Where stable gets no calls: below the ceiling if there is one, and no worse than stable when it still did."""
    ceiling, stable = case.guardrail.ceiling, case.baseline
    counts = f"{case.counts(case.candidate_now, stable)} when it still got calls"
    if ceiling is not None and (stable.rate or 0.0) <= ceiling:
        # Bursts come when they come: stable may have met fewer of them. So its looks count here, not its calls.
        return _below_ceiling(case, found, ceiling, case.tolerated_by_looks(stable), counts)
    if stable.trials < ENOUGH_CALLS:
        text = f"{counts}; stable was measured too little to compare with"
        return case.check(Outcome.INCONCLUSIVE, text, found, None, None)
    rate, most = case.candidate_now.rate or 0.0, case.tolerated(stable)
    text = f"{counts}; up to {percent(most)} is no worse than stable may have been"
    return case.check(Outcome.PASS if rate <= most else Outcome.INCONCLUSIVE, text, found, rate, most)


def _below_ceiling(case: Case, found: float, ceiling: float, most: float, counts: str) -> Check:
    """Shown to be below the ceiling: pass, unless it looks worse than stable, for which the ceiling leaves room."""
    now = case.candidate_now
    rate, highest = now.rate or 0.0, means.upper_bound(now.trials, now.failures, case.alpha)
    text = f"{counts}; the rate is at most {percent(highest)}, {percent(ceiling)} is allowed"
    if highest > ceiling:
        return case.check(Outcome.INCONCLUSIVE, text, found, highest, ceiling)
    if rate > most:
        text = f"{counts}, which looks worse than stable: at most {percent(most)} would do, and more calls will tell"
        return case.check(Outcome.INCONCLUSIVE, text, found, rate, most)
    return case.check(Outcome.PASS, text, found, highest, ceiling)
