"""How processes, versions and their counters look on the wire."""

from serinus.lifecycle.states import ModelState, VersionStatus
from serinus.telemetry.histogram import Histogram
from serinus.telemetry.model_metrics import ModelMetrics
from serinus.transport.registry.messages import timestamp_of
from serinus.transport.rollouts.values import Worker
from serinus_api.v1 import admin_pb2 as pb

_STATES = {
    ModelState.UNAVAILABLE: pb.MODEL_STATE_UNAVAILABLE,
    ModelState.LOADING: pb.MODEL_STATE_LOADING,
    ModelState.READY: pb.MODEL_STATE_READY,
    ModelState.UNLOADING: pb.MODEL_STATE_UNLOADING,
}


def model_status(status: VersionStatus, metrics: ModelMetrics | None) -> pb.ModelStatus:
    """What a version is doing, and how much of it; `metrics` is None for one that was never loaded."""
    answer = pb.ModelStatus(
        model=status.identity.model,
        version=status.identity.version_text,
        version_number=status.identity.number,
        state=_STATES[status.state],
        reason=status.reason,
    )
    if metrics is None:
        return answer
    answer.answered = metrics.answered_calls
    answer.rows = metrics.rows
    answer.batches = metrics.batches
    answer.queued_calls = metrics.queue_calls or 0
    answer.queued_rows = metrics.queue_rows or 0
    for outcome, count in metrics.unanswered_by.items():
        answer.unanswered[outcome] = count
    for phase, histogram in (
        ("request", metrics.request),
        ("queue", metrics.queue),
        ("compute", metrics.compute),
        ("encode", metrics.encode),
    ):
        answer.latency[phase].CopyFrom(_summary(histogram))
    return answer


def worker_status(worker: Worker) -> pb.WorkerStatus:
    """One process that serves."""
    return pb.WorkerStatus(
        id=worker.id,
        started_at=timestamp_of(worker.started_unix_s),
        ready=worker.is_ready,
        revision=worker.revision,
        controls_rollouts=worker.controls_rollouts,
        index=worker.index,
        pid=worker.pid,
        restarts=worker.restarts,
        last_end=worker.last_end,
    )


def _summary(histogram: Histogram) -> pb.LatencySummary:
    return pb.LatencySummary(
        count=histogram.count,
        sum_s=histogram.sum_s,
        p50_s=histogram.quantile(0.5),
        p90_s=histogram.quantile(0.9),
        p99_s=histogram.quantile(0.99),
        bucket_bounds_s=histogram.bounds_s,
        bucket_counts=histogram.counts,
    )
