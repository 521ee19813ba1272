"""Says what to think of a rollout: pass, fail, or not known yet. Pure; looked at as often as anybody likes."""

import dataclasses
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from serinus.config.rollout_guardrails import SCHEDULING_S, LatencyGuardrail
from serinus.config.rollout_spec import AbStage, ApprovalStage, BlueGreenStage, CanaryStage, ShadowStage
from serinus.core.version import ModelVersion
from serinus.rollout.judging.contest import INTERVAL, contest
from serinus.rollout.judging.evidence import Evidence
from serinus.rollout.judging.mean_checks import disagreement_check, metric_check
from serinus.rollout.judging.rate_checks import ENOUGH_CALLS, rate_check
from serinus.rollout.judging.run_checks import run_check
from serinus.rollout.judging.tallies import RATES, ArmTotals, rate_guardrails
from serinus.rollout.judging.wording import listed, whole
from serinus.rollout.machine.effects import effects
from serinus.rollout.rollout import Check, Outcome, Rollout, Verdict
from serinus.telemetry.histogram import BOUNDS_S, quantile_of

_P99 = 0.99


def judge(evidence: Evidence, rollout: Rollout, at: float) -> Verdict:
    """What the evidence says of the stage that the rollout is in.

    Absence of failure is no pass: a stage passes when it has had its calls and its time, and every check has shown that
    its limit is kept. What is missing, or no number, is inconclusive.

    Args:
        evidence: As `evidence.fold` left it, for this very rollout.
        rollout: Where it stands.
        at: Seconds since 1970.
    """
    checks = tuple(_checks(evidence, rollout))
    failed = [check.sentence for check in checks if check.outcome is Outcome.FAIL]
    if failed:
        return Verdict(Outcome.FAIL, listed(failed), checks)
    minima = tuple(_minima(evidence, rollout, at))
    winner = 0
    if isinstance(rollout.current.plan, AbStage):
        found = contest(evidence, rollout, rollout.current.plan)
        checks, winner = (*checks, *found.checks), 0 if minima else found.winner
    waits = (*minima, *_doubts(rollout, checks, winner))
    if waits:
        return Verdict(Outcome.INCONCLUSIVE, listed(waits), checks, winner)
    return Verdict(Outcome.PASS, _pass_reason(checks), checks, winner)


def _pass_reason(checks: Sequence[Check]) -> str:
    """In a line; the checks have the numbers."""
    if len(checks) == 1:
        return checks[0].sentence
    return f"{', '.join(dict.fromkeys(check.name for check in checks))} are within their limits, beyond doubt"


def waits_for(evidence: Evidence, rollout: Rollout, verdict: Verdict, at: float) -> tuple[str, ...]:
    """What keeps the stage from passing, sentences; nothing if it passes or fails."""
    if verdict.outcome is not Outcome.INCONCLUSIVE:
        return ()
    return (*_minima(evidence, rollout, at), *_doubts(rollout, verdict.checks, verdict.winner))


def slow_limit(evidence: Evidence, guardrail: LatencyGuardrail) -> float | None:
    """What is slow by stable's own calls, in seconds; None before their p99 is known well enough.

    The p99 is rounded up to its bucket.
    """
    counts = evidence.latency.get(evidence.baseline, ())
    if sum(counts) < ENOUGH_CALLS:
        return None
    p99_s = BOUNDS_S[min(bisect_left(BOUNDS_S, quantile_of(counts, _P99)), len(BOUNDS_S) - 1)]
    return max((1 + guardrail.slack) * p99_s, p99_s + SCHEDULING_S)


def _checks(evidence: Evidence, rollout: Rollout) -> Iterator[Check]:
    if rollout.current.shadow is not None:
        # Nobody gets the candidate's answers; that it fails is a disagreement.
        if rollout.spec.guardrails.disagreement.enabled:
            yield disagreement_check(evidence, rollout, rollout.candidates[0])
        return
    split = effects(rollout).split
    arms = split.arms if split is not None else ()
    has_control = bool(arms and arms[-1].weight)
    for candidate in rollout.candidates:
        for check in _checks_of_calls(evidence, rollout, candidate, has_control=has_control):
            named = check.sentence if len(rollout.candidates) == 1 else f"{candidate}: {check.sentence}"
            yield dataclasses.replace(check, sentence=named)


def _checks_of_calls(
    evidence: Evidence, rollout: Rollout, candidate: ModelVersion, *, has_control: bool
) -> Iterator[Check]:
    guardrails = rollout.spec.guardrails
    for name, guardrail in zip(RATES, rate_guardrails(guardrails), strict=True):
        if guardrail.enabled:
            yield rate_check(evidence, rollout, candidate, (name, guardrail), has_control=has_control)
    for metric in guardrails.metrics:
        yield metric_check(evidence, rollout, candidate, metric)
    yield run_check(evidence, rollout, candidate, has_control=has_control)


def _minima(evidence: Evidence, rollout: Rollout, at: float) -> Iterator[str]:
    """The calls and the time that the stage still needs."""
    match rollout.current.plan:
        case ShadowStage() as plan:
            if evidence.stage_pairs.pairs < plan.min_pairs:
                yield f"{whole(evidence.stage_pairs.pairs)} of {whole(plan.min_pairs)} mirrored calls"
        case CanaryStage() | BlueGreenStage() as plan:
            yield from _missing_calls(evidence, rollout.candidates, plan.min_requests)
        case AbStage() as plan:
            yield from _missing_calls(evidence, (*rollout.candidates, rollout.baseline), plan.min_requests)
        case ApprovalStage(note=note):
            yield f"a person: {note}" if note else "a person"
    seconds = max(0.0, at - rollout.stage_at)
    if seconds < rollout.current.shortest_s:
        yield f"{whole(seconds)} of {whole(rollout.current.shortest_s)} s"


def _missing_calls(evidence: Evidence, versions: Sequence[ModelVersion], least: int) -> Iterator[str]:
    for version in versions:
        calls = evidence.stage_arms.get(version.number, ArmTotals()).calls
        if calls < least:
            yield f"{whole(calls)} of {whole(least)} calls of {version}"


def _doubts(rollout: Rollout, checks: Sequence[Check], winner: int) -> Iterator[str]:
    """What is not known yet."""
    if isinstance(rollout.current.plan, ApprovalStage):
        return
    unknown = (check for check in checks if check.outcome is Outcome.INCONCLUSIVE and check.name != INTERVAL)
    yield from (check.sentence for check in unknown)
    if isinstance(rollout.current.plan, AbStage) and not winner:
        yield "no arm is better than all others beyond doubt"
