"""A rollout with the numbers behind it, as people look at it."""

import dataclasses
from collections.abc import Mapping

from serinus.core.traffic import WHOLE
from serinus.core.version import ModelVersion
from serinus.core.windows import MetricWindow, PairWindow
from serinus.rollout.documents import verdict_document
from serinus.rollout.judging.evidence import Evidence, fold
from serinus.rollout.judging.judge import waits_for
from serinus.rollout.judging.judgement import Judgement
from serinus.rollout.judging.tallies import ERRORS, INVALID, LATENCY, ArmTotals
from serinus.rollout.machine.effects import effects
from serinus.rollout.ports import Stored
from serinus.rollout.rollout import WITHOUT_CALLS, Numbers, Rollout, Status, Verdict
from serinus.telemetry.histogram import quantile_of


@dataclasses.dataclass(frozen=True, slots=True)
class ArmView:
    """What became of the calls that a version got by weight.

    Attributes:
        version: Which.
        weight: Now, of `core.traffic.WHOLE`.
        exposures: Calls of this stage.
        errors: Of them those that it failed.
        slow: Those that took longer than the limit.
        invalid: Those answered with what cannot be meant.
        total_exposures: Calls of the whole rollout.
        rate: Calls a second, of late.
        p50_s: Median latency in seconds, of the whole rollout; 0.0 without calls.
        p99_s: The latency that one call in a hundred exceeds, likewise.
        metrics: What was reported, by name of the metric, in the whole rollout.
    """

    version: ModelVersion
    weight: int
    exposures: int = 0
    errors: int = 0
    slow: int = 0
    invalid: int = 0
    total_exposures: int = 0
    rate: float = 0.0
    p50_s: float = 0.0
    p99_s: float = 0.0
    metrics: Mapping[str, MetricWindow] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class RolloutView:
    """A rollout at one moment; any server can make it.

    Attributes:
        stored: Where it stands.
        arms: Stable first, then the candidates.
        verdict: The last one of this stage; None before the first. Of what has ended, the one that decided.
        pairs: Mirrored calls of this stage, or of the whole rollout once it has ended.
        waits_for: What keeps the stage from passing, sentences.
    """

    stored: Stored
    arms: tuple[ArmView, ...]
    verdict: Verdict | None
    pairs: PairWindow
    waits_for: tuple[str, ...]


def view_of(stored: Stored, judgement: Judgement, at: float) -> RolloutView:
    """The view of a rollout, of which that is known.

    Args:
        stored: The rollout.
        judgement: As it was saved last, maybe in the stage before.
        at: Seconds since 1970.
    """
    rollout = stored.rollout
    evidence, verdict = judgement.evidence, judgement.verdict
    is_judged = not rollout.has_ended and rollout.status not in WITHOUT_CALLS | {Status.PREPARING}
    if is_judged and evidence.stage != rollout.stage:
        # The stage has begun, and nobody has looked at it yet.
        evidence, verdict = fold(evidence, rollout, (), at), None
    return RolloutView(
        stored,
        _arms(rollout, evidence, at),
        verdict,
        evidence.pairs if rollout.has_ended else evidence.stage_pairs,
        waits_for(evidence, rollout, verdict, at) if is_judged and verdict is not None else (),
    )


def numbers_of(rollout: Rollout, judgement: Judgement, at: float) -> Numbers:
    """What was known when something happened to `rollout`, for its journal."""
    evidence, verdict = judgement.evidence, judgement.verdict
    return {
        "verdict": None if verdict is None else verdict_document(verdict),
        "arms": [
            {
                "version": str(arm.version.version),
                "weight": arm.weight,
                "exposures": arm.exposures,
                "errors": arm.errors,
                "slow": arm.slow,
                "invalid": arm.invalid,
                "total_exposures": arm.total_exposures,
                "p99_s": arm.p99_s,
            }
            for arm in _arms(rollout, evidence, at)
        ],
        "pairs": dataclasses.asdict(evidence.pairs),
    }


def _arms(rollout: Rollout, evidence: Evidence, at: float) -> tuple[ArmView, ...]:
    weights = _weights(rollout)
    return tuple(
        _arm(version, weights.get(version.number, 0), evidence, at)
        for version in (rollout.baseline, *rollout.candidates)
    )


def _arm(version: ModelVersion, weight: int, evidence: Evidence, at: float) -> ArmView:
    number = version.number
    stage = evidence.stage_arms.get(number, ArmTotals())
    latency = evidence.latency.get(number, ())
    return ArmView(
        version=version,
        weight=weight,
        exposures=stage.calls,
        errors=stage.of(ERRORS).failures,
        slow=stage.of(LATENCY).failures,
        invalid=stage.of(INVALID).failures,
        total_exposures=evidence.arms.get(number, ArmTotals()).calls,
        rate=evidence.calls_per_second(number, at),
        p50_s=quantile_of(latency, 0.5),
        p99_s=quantile_of(latency, 0.99),
        metrics={name: windows[number] for name, windows in evidence.metrics.items() if number in windows},
    )


def _weights(rollout: Rollout) -> Mapping[int, int]:
    """Weights by number, as they are now; those of an ended rollout are no longer its own."""
    split = effects(rollout).split
    if split is not None:
        return {arm.version.number: arm.weight for arm in split.arms}
    is_moved = rollout.status is Status.SUCCEEDED and rollout.chosen
    return {rollout.chosen if is_moved else rollout.baseline.number: WHOLE}
