"""How the counters look to dashboards and autoscalers that were made for NVIDIA Triton: its names, units and labels."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from serinus.telemetry.model_metrics import ModelMetrics
from serinus.telemetry.outcome import Outcome

FAILURE_REASON: Final = {
    Outcome.INVALID: "OTHER",
    Outcome.SHED: "REJECTED",
    Outcome.EXPIRED: "REJECTED",
    Outcome.CANCELLED: "CANCELED",
    Outcome.FAILED: "BACKEND",
}
"""Triton's word for each outcome; it has one for both ways of not being scheduled in time."""

_NS_PER_US = 1000

_COUNTERS: tuple[tuple[str, str, Callable[[ModelMetrics], int]], ...] = (
    ("nv_inference_request_success", "Calls that were answered", lambda model: model.answered_calls),
    ("nv_inference_count", "Rows of answered calls", lambda model: model.rows),
    ("nv_inference_exec_count", "Runs of the model", lambda model: model.batches),
    (
        "nv_inference_request_duration_us",
        "Microseconds from arrival to answer, summed over answered calls",
        lambda model: model.statistics().success.ns // _NS_PER_US,
    ),
    (
        "nv_inference_queue_duration_us",
        "Microseconds from admission to the start of the run, summed over answered calls",
        lambda model: model.statistics().queue.ns // _NS_PER_US,
    ),
    (
        "nv_inference_compute_input_duration_us",
        "Microseconds of preparing inputs, summed over answered calls",
        lambda model: model.statistics().compute_input.ns // _NS_PER_US,
    ),
    (
        "nv_inference_compute_infer_duration_us",
        "Microseconds of the runs, summed over answered calls",
        lambda model: model.statistics().compute_infer.ns // _NS_PER_US,
    ),
    (
        "nv_inference_compute_output_duration_us",
        "Microseconds of encoding outputs, summed over answered calls",
        lambda model: model.statistics().compute_output.ns // _NS_PER_US,
    ),
)


class Models(Protocol):
    """Where the counters are."""

    def models(self) -> Sequence[ModelMetrics]:
        """The versions that are shown."""
        ...


class TritonCollector(Collector):
    """Reads the counters when Prometheus asks; `version` is the integer that Triton's clients know."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry would otherwise collect once merely to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families; each has one series per version, failures one per version and reason."""
        models = self._models.models()
        for name, documentation, value_of in _COUNTERS:
            # CounterMetricFamily would append `_total`, which Triton's names do not have.
            counter = Metric(name, documentation, "counter")
            for model in models:
                counter.add_sample(name, _labels(model), value_of(model))
            yield counter
        yield _failures(models)
        pending = Metric("nv_inference_pending_request_count", "Calls that wait for a run", "gauge")
        for model in models:
            if (calls := model.queue_calls) is not None:
                pending.add_sample(pending.name, _labels(model), calls)
        yield pending


def _failures(models: Sequence[ModelMetrics]) -> Metric:
    family = Metric("nv_inference_request_failure", "Calls that ended without an answer", "counter")
    for model in models:
        by_reason = dict.fromkeys(FAILURE_REASON.values(), 0)
        for outcome, count in model.unanswered_by.items():
            by_reason[FAILURE_REASON[outcome]] += count
        for reason, count in by_reason.items():
            family.add_sample(family.name, {**_labels(model), "reason": reason}, count)
    return family


def _labels(model: ModelMetrics) -> dict[str, str]:
    return {"model": model.version.model, "version": model.version.number_text}
