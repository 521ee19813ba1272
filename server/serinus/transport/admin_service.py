"""serinus.v1.AdminService: what the server is doing now."""

import dataclasses
from collections.abc import Callable

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from serinus.lifecycle.models import Models, ModelState, VersionStatus
from serinus.telemetry.histogram import Histogram
from serinus.telemetry.metrics import Metrics
from serinus.telemetry.model_metrics import ModelMetrics
from serinus.transport.guard import welcome
from serinus.transport.service import service, typed
from serinus_api.v1 import admin_pb2 as pb

NAME = "serinus.v1.AdminService"

_STATES = {
    ModelState.UNAVAILABLE: pb.MODEL_STATE_UNAVAILABLE,
    ModelState.LOADING: pb.MODEL_STATE_LOADING,
    ModelState.READY: pb.MODEL_STATE_READY,
    ModelState.UNLOADING: pb.MODEL_STATE_UNLOADING,
}


@dataclasses.dataclass(frozen=True, slots=True)
class ServerFacts:
    """What does not change while the server runs.

    Attributes:
        version: Of the program.
        started_unix_s: When it started, in seconds since 1970.
        compute_threads: Threads that run models.
    """

    version: str
    started_unix_s: float
    compute_threads: int


class AdminService:
    """Reports on `models` and `metrics`."""

    def __init__(self, *, models: Models, metrics: Metrics, facts: ServerFacts, is_ready: Callable[[], bool]) -> None:
        self._models = models
        self._metrics = metrics
        self._facts = facts
        self._is_ready = is_ready

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server registers. It answers while the server drains."""
        unary = {"GetServerStatus": typed(pb.GetServerStatusRequest, self._status)}
        return service(NAME, unary=unary, streams={}, arrive=welcome)

    def _status(self, _asked: pb.GetServerStatusRequest) -> pb.GetServerStatusResponse:
        started = Timestamp()
        started.FromMicroseconds(int(self._facts.started_unix_s * 1e6))
        counters = {metrics.version: metrics for metrics in self._metrics.models()}
        return pb.GetServerStatusResponse(
            server_version=self._facts.version,
            started_at=started,
            ready=self._is_ready(),
            models=[_model_status(status, counters.get(status.identity)) for status in self._models.index()],
            bytes_in_flight=self._metrics.bytes_in_flight or 0,
            bytes_limit=self._metrics.bytes_limit or 0,
            event_loop_lag_us=int(self._metrics.loop_lag_s * 1e6),
            compute_threads=self._facts.compute_threads,
        )


def _model_status(status: VersionStatus, metrics: ModelMetrics | None) -> pb.ModelStatus:
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
