"""What happened between two looks at a server: rates, percentiles and batch sizes by difference."""

import dataclasses
from collections.abc import Mapping, Sequence

from serinus.cli.states import state_name
from serinus.telemetry.histogram import BOUNDS_S, quantile_of
from serinus_api.v1 import admin_pb2 as pb

_REQUEST = "request"


@dataclasses.dataclass(frozen=True)
class Percentiles:
    """Seconds from arrival to answer, of answered calls."""

    p50_s: float
    p90_s: float
    p99_s: float


@dataclasses.dataclass(frozen=True)
class ModelReading:
    """One version of one model over an interval.

    Attributes:
        model: Its name.
        version: Semantic.
        state: READY and the like.
        calls_per_s: Answered calls; None when there is nothing to compare with.
        rows_per_s: Their rows.
        mean_batch_rows: Rows per run; None when nothing ran.
        latency: Over the interval; None when nothing was answered.
        latency_since_load: Since the version was loaded; None when nothing was answered.
        queued_calls: Waiting now.
        queued_rows: Waiting now.
        unanswered: Calls since the version was loaded that ended without an answer, by outcome.
        unanswered_per_s: The same over the interval, all outcomes.
    """

    model: str
    version: str
    state: str
    calls_per_s: float | None
    rows_per_s: float | None
    mean_batch_rows: float | None
    latency: Percentiles | None
    latency_since_load: Percentiles | None
    queued_calls: int
    queued_rows: int
    unanswered: Mapping[str, int]
    unanswered_per_s: float | None


def compare(
    before: pb.GetServerStatusResponse | None, after: pb.GetServerStatusResponse, elapsed_s: float
) -> list[ModelReading]:
    """What every version of `after` did since `before`, which may be None or of a server that was restarted since."""
    known: dict[tuple[str, int], pb.ModelStatus] = {}
    if before is not None and before.started_at == after.started_at:
        known = {(model.model, model.version_number): model for model in before.models}
    return [_reading(known.get((model.model, model.version_number)), model, elapsed_s) for model in after.models]


def _reading(before: pb.ModelStatus | None, after: pb.ModelStatus, elapsed_s: float) -> ModelReading:
    if before is not None and (before.answered > after.answered or before.batches > after.batches):
        before = None  # it was loaded anew in between, and counts from 0
    past = before if before is not None else pb.ModelStatus()
    unanswered = {outcome: count for outcome, count in sorted(after.unanswered.items()) if count}
    runs = after.batches - past.batches

    def per_second(count: int) -> float | None:
        return count / elapsed_s if before is not None and elapsed_s > 0 else None

    return ModelReading(
        model=after.model,
        version=after.version,
        state=state_name(after.state),
        calls_per_s=per_second(after.answered - past.answered),
        rows_per_s=per_second(after.rows - past.rows),
        mean_batch_rows=(after.rows - past.rows) / runs if runs else None,
        latency=_between(past, after) if before is not None else None,
        latency_since_load=_since_load(after),
        queued_calls=after.queued_calls,
        queued_rows=after.queued_rows,
        unanswered=unanswered,
        unanswered_per_s=per_second(sum(after.unanswered.values()) - sum(past.unanswered.values())),
    )


def _between(before: pb.ModelStatus, after: pb.ModelStatus) -> Percentiles | None:
    now = after.latency.get(_REQUEST) or pb.LatencySummary()
    if tuple(now.bucket_bounds_s) != BOUNDS_S:
        return None  # a server of another version counts in other buckets
    then = before.latency.get(_REQUEST) or pb.LatencySummary()
    counts = [
        max(0, count - old)
        for count, old in zip(now.bucket_counts, then.bucket_counts or [0] * len(now.bucket_counts), strict=True)
    ]
    return _of_counts(counts) if any(counts) else None


def _of_counts(counts: Sequence[int]) -> Percentiles:
    return Percentiles(quantile_of(counts, 0.5), quantile_of(counts, 0.9), quantile_of(counts, 0.99))


def _since_load(model: pb.ModelStatus) -> Percentiles | None:
    summary = model.latency.get(_REQUEST) or pb.LatencySummary()
    return Percentiles(summary.p50_s, summary.p90_s, summary.p99_s) if summary.count else None
