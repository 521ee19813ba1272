"""How rollouts and the numbers behind them look on the wire."""

from collections.abc import Mapping, Sequence

from serinus.core.dtypes import dtype_of
from serinus.core.predictor import Tensors
from serinus.core.raw_tensors import raw_from_tensor
from serinus.core.traffic import WHOLE
from serinus.registry.rollout_records import JournalEntry
from serinus.registry.sql.audit import canonical_json
from serinus.rollout.machine.plan import stage_text
from serinus.rollout.ports import Stored
from serinus.rollout.rollout import Check, Outcome, Rollout, Status, Verdict
from serinus.rollout.simulation.values import Simulated
from serinus.rollout.view import ArmView, RolloutView
from serinus.serving.mirroring.disagreements import Disagreement
from serinus.transport.paging import all_that_fit
from serinus.transport.predict_codec import TO_WIRE
from serinus.transport.registry.messages import timestamp, timestamp_of
from serinus_api.v1 import admin_pb2 as pb
from serinus_api.v1 import predict_pb2

STATUSES = {status: pb.RolloutStatus.Value(f"ROLLOUT_STATUS_{status.name}") for status in Status}
OUTCOMES = {outcome: pb.Outcome.Value(f"OUTCOME_{outcome.name}") for outcome in Outcome}


def view_message(view: RolloutView, spec_yaml: str) -> pb.Rollout:
    """A rollout with the numbers behind it; `spec_yaml` is its spec, which takes milliseconds to write."""
    answer = rollout_message(view.stored, spec_yaml)
    names = _names(view.stored.rollout)
    answer.arms.extend(_arm(arm) for arm in view.arms)
    if view.verdict is not None:
        answer.verdict.CopyFrom(_verdict(view.verdict, names))
    pairs = view.pairs
    answer.pairs.CopyFrom(
        pb.PairStatus(pairs=pairs.pairs, disagreements=pairs.disagreements, errors=pairs.errors, dropped=pairs.dropped)
    )
    answer.waits_for.extend(view.waits_for)
    return answer


def rollout_message(stored: Stored, spec_yaml: str) -> pb.Rollout:
    """Where a rollout stands, without the numbers."""
    rollout = stored.rollout
    answer = pb.Rollout(
        id=rollout.id,
        revision=stored.revision,
        model=rollout.model,
        baseline=rollout.baseline.version_text,
        candidates=[candidate.version_text for candidate in rollout.candidates],
        status=STATUSES[rollout.status],
        reason=rollout.reason,
        stage=rollout.stage,
        stages=[stage_text(stage) for stage in rollout.spec.stages],
        started_at=timestamp_of(rollout.started_at),
        started_by=rollout.started_by,
        spec_yaml=spec_yaml,
        slow_s=rollout.slow_s or 0.0,
    )
    if rollout.stage_at:
        answer.stage_began_at.CopyFrom(timestamp_of(rollout.stage_at))
    if rollout.ended_at:
        answer.ended_at.CopyFrom(timestamp_of(rollout.ended_at))
    return answer


def _names(rollout: Rollout) -> Mapping[int, str]:
    """What the versions of a rollout are called, by number."""
    return {version.number: version.version_text for version in (rollout.baseline, *rollout.candidates)}


def _arm(arm: ArmView) -> pb.ArmStatus:
    return pb.ArmStatus(
        version=arm.version.version_text,
        weight=percent_of(arm.weight),
        exposures=arm.exposures,
        errors=arm.errors,
        slow=arm.slow,
        invalid=arm.invalid,
        total_exposures=arm.total_exposures,
        rate=arm.rate,
        p50_s=arm.p50_s,
        p99_s=arm.p99_s,
        metric_means={name: metric.total / metric.count for name, metric in arm.metrics.items() if metric.count},
        metric_counts={name: metric.count for name, metric in arm.metrics.items()},
    )


def percent_of(weight: int) -> float:
    """A weight of `WHOLE` as a percentage."""
    return weight * 100 / WHOLE


def _verdict(verdict: Verdict, names: Mapping[int, str]) -> pb.RolloutVerdict:
    return pb.RolloutVerdict(
        outcome=OUTCOMES[verdict.outcome],
        reason=verdict.reason,
        checks=[_check(check, names) for check in verdict.checks],
        winner=names.get(verdict.winner, ""),
    )


def _check(check: Check, names: Mapping[int, str]) -> pb.RolloutCheck:
    return pb.RolloutCheck(
        name=check.name,
        version=names.get(check.version, ""),
        outcome=OUTCOMES[check.outcome],
        e_value=check.e_value,
        limit=check.limit,
        candidate=check.candidate,
        baseline=check.baseline,
        bound=check.bound,
        bound_limit=check.bound_limit,
        count=check.count,
        sentence=check.sentence,
    )


def event_messages(entries: Sequence[JournalEntry]) -> Sequence[pb.RolloutEvent]:
    """A journal, oldest first; of one that no message can hold the newest entries. Not for the event loop."""
    return tuple(reversed(all_that_fit(reversed(entries), _event)))


def _event(entry: JournalEntry) -> pb.RolloutEvent:
    known = entry.status in Status.__members__.values()
    return pb.RolloutEvent(
        number=entry.number,
        at=timestamp(entry.at),
        actor=entry.actor,
        event=entry.event,
        status=STATUSES[Status(entry.status)] if known else pb.ROLLOUT_STATUS_UNSPECIFIED,
        reason=entry.reason,
        numbers_json=canonical_json(entry.numbers),
    )


def disagreement_message(found: Disagreement) -> pb.Disagreement:
    """One call that two versions answered differently; copies its tensors."""
    return pb.Disagreement(
        at=timestamp_of(found.at),
        request_id=found.request_id,
        inputs=_tensors(found.inputs),
        baseline=_tensors(found.baseline),
        candidate=_tensors(found.candidate),
        sentence=found.sentence,
    )


def _tensors(tensors: Tensors) -> Sequence[predict_pb2.Tensor]:
    return [
        predict_pb2.Tensor(
            name=name, dtype=TO_WIRE[dtype_of(tensor)], shape=tensor.shape, data=bytes(raw_from_tensor(tensor))
        )
        for name, tensor in tensors.items()
    ]


def simulated_message(found: Simulated) -> pb.SimulateRolloutResponse:
    """What became of a plan that was played."""
    return pb.SimulateRolloutResponse(
        runs=found.runs,
        outcomes={end: share for end, (share, _, _) in found.outcomes.items()},
        outcomes_low={end: low for end, (_, low, _) in found.outcomes.items()},
        outcomes_high={end: high for end, (_, _, high) in found.outcomes.items()},
        exposed_p50=found.exposed_p50,
        exposed_p90=found.exposed_p90,
        seconds_p50=found.seconds_p50,
        seconds_p90=found.seconds_p90,
        failed_by=found.failed_by,
    )
