"""How the counters look to Prometheus, under our own names.

Four histograms rather than one with a label `phase`: a request's time contains the other three, so that a sum or a mean
over such a label would mean nothing. Families are built while a scrape waits and from copies, so that the predict path
keeps no Prometheus objects and a scrape may run on another thread.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serinus.telemetry.histogram import BOUNDS_S, BUCKETS_PER_DOUBLING, Histogram
from serinus.telemetry.load_metrics import LoadMetrics
from serinus.telemetry.memory import MemoryPressure
from serinus.telemetry.model_metrics import ModelMetrics
from serinus.telemetry.outcome import Refusal

_LABELS = ("model", "version")
_ANSWERED = "answered"
_LARGEST_BATCH_BOUND = 1 << 12

# A scrape shows one bucket a doubling: a quarter of the lines, and `histogram_quantile` stays within a factor of two.
_SHOWN_BOUNDS = [str(bound) for bound in BOUNDS_S[::BUCKETS_PER_DOUBLING]]

_HISTOGRAMS: tuple[tuple[str, str, Callable[[ModelMetrics], Histogram]], ...] = (
    ("serinus_request_seconds", "From arrival to answer, of answered calls.", lambda model: model.request),
    ("serinus_queue_seconds", "From admission to the start of the run, of answered calls.", lambda model: model.queue),
    ("serinus_compute_seconds", "The run that held the call's rows, of answered calls.", lambda model: model.compute),
    ("serinus_encode_seconds", "Turning an answer into bytes.", lambda model: model.encode),
)
_COUNTERS: tuple[tuple[str, str, Callable[[ModelMetrics], int]], ...] = (
    ("serinus_rows_total", "Rows of answered calls.", lambda model: model.rows),
    (
        "serinus_nonfinite_rows_total",
        "Rows that the model answered with NaN or an infinity.",
        lambda model: model.nonfinite_rows,
    ),
    ("serinus_poison_calls_total", "Calls that failed the batch they were in.", lambda model: model.poison_calls),
)
_GAUGES: tuple[tuple[str, str, Callable[[ModelMetrics], int | None]], ...] = (
    ("serinus_queue_calls", "Calls that wait for a run.", lambda model: model.queue_calls),
    ("serinus_queue_rows", "Rows that wait for a run.", lambda model: model.queue_rows),
)


class Readings(Protocol):
    """What a scrape reads."""

    @property
    def refused_by(self) -> Mapping[Refusal, int]:
        """Calls refused before they were known to belong to a model."""
        ...

    @property
    def loads(self) -> LoadMetrics:
        """Versions that came into memory, or could not."""
        ...

    @property
    def worst_loop_lag_s(self) -> float:
        """The longest delay of a timer lately."""
        ...

    @property
    def bytes_in_flight(self) -> int | None:
        """Bytes of all calls in flight; None when nobody says."""
        ...

    @property
    def bytes_limit(self) -> int | None:
        """The most bytes that are admitted at once; None when nobody says."""
        ...

    @property
    def memory(self) -> MemoryPressure | None:
        """How near the process is to its memory limit; None when nobody says."""
        ...

    @property
    def registry_revision(self) -> int | None:
        """The newest revision of the registry that is known; None when nobody says."""
        ...

    @property
    def registry_behind(self) -> int | None:
        """1 while there may be newer revisions that cannot be read, else 0; None when nobody says."""
        ...

    def models(self) -> Sequence[ModelMetrics]:
        """The versions that are shown."""
        ...


class ServerCollector(Collector):
    """Reads the counters when Prometheus asks."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry would otherwise collect once merely to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families; those about models have one series per version."""
        models = self._readings.models()
        for name, documentation, histogram_of in _HISTOGRAMS:
            yield _durations(name, documentation, models, histogram_of)
        for name, documentation, count_of in _COUNTERS:
            counter = CounterMetricFamily(name, documentation, labels=_LABELS)
            for model in models:
                counter.add_metric(_labels(model), count_of(model))
            yield counter
        for name, documentation, value_of in _GAUGES:
            gauge = GaugeMetricFamily(name, documentation, labels=_LABELS)
            for model in models:
                if (value := value_of(model)) is not None:
                    gauge.add_metric(_labels(model), value)
            yield gauge
        yield _requests(models)
        yield _shed(models)
        yield _batches(models)
        yield _batch_rows(models)
        yield from self._server()

    def _server(self) -> Iterator[Metric]:
        refused = CounterMetricFamily(
            "serinus_refused_total", "Calls refused before they were known to belong to a model.", labels=("reason",)
        )
        for reason, count in self._readings.refused_by.items():
            refused.add_metric((reason,), count)
        yield refused
        yield from _loads(self._readings.loads)
        lag = self._readings.worst_loop_lag_s
        yield GaugeMetricFamily(
            "serinus_event_loop_lag_seconds", "Longest delay of a timer in the last 15 s.", value=lag
        )
        # No sample rather than a zero when nobody says: an alert on absence is then possible.
        if (in_flight := self._readings.bytes_in_flight) is not None:
            yield GaugeMetricFamily("serinus_bytes_in_flight", "Bytes of all calls in flight.", value=in_flight)
        if (limit := self._readings.bytes_limit) is not None:
            yield GaugeMetricFamily("serinus_bytes_limit", "The most bytes of calls admitted at once.", value=limit)
        if (memory := self._readings.memory) is not None:
            yield GaugeMetricFamily(
                "serinus_memory_used_ratio", "Share of the memory limit that is in use.", value=memory.used
            )
            yield GaugeMetricFamily(
                "serinus_memory_pressure",
                "0: none. 1: copies and sheddable calls are refused. 2: all new calls are.",
                value=int(memory.level),
            )
        if (revision := self._readings.registry_revision) is not None:
            yield GaugeMetricFamily(
                "serinus_registry_revision", "The newest write to the registry seen.", value=revision
            )
        if (behind := self._readings.registry_behind) is not None:
            yield GaugeMetricFamily("serinus_registry_behind", "1 while the registry cannot be read.", value=behind)


def _labels(model: ModelMetrics) -> tuple[str, str]:
    return model.version.model, model.version.version_text


def _durations(
    name: str, documentation: str, models: Sequence[ModelMetrics], histogram_of: Callable[[ModelMetrics], Histogram]
) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=_LABELS)
    for model in models:
        _add(family, _labels(model), histogram_of(model))
    return family


def _add(family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram) -> None:
    # From a copy, because the event loop goes on counting meanwhile: +Inf must equal the sum of the others.
    cumulative = list(itertools.accumulate(histogram.counts.copy()))
    shown = zip(_SHOWN_BOUNDS, cumulative[::BUCKETS_PER_DOUBLING], strict=False)
    family.add_metric(labels, [*shown, ("+Inf", cumulative[-1])], histogram.sum_s)


def _loads(loads: LoadMetrics) -> Iterator[Metric]:
    durations = HistogramMetricFamily(
        "serinus_model_load_seconds", "Loads that succeeded, waiting for their turn included.", labels=()
    )
    _add(durations, (), loads.load)
    yield durations
    yield CounterMetricFamily(
        "serinus_model_loads_failed_total", "Loads that ended without a version.", value=loads.failed_loads
    )
    yield CounterMetricFamily(
        "serinus_model_evictions_total", "Versions unloaded to make room for others.", value=loads.evictions
    )


def _requests(models: Sequence[ModelMetrics]) -> Metric:
    family = CounterMetricFamily("serinus_requests_total", "Calls by how they ended.", labels=(*_LABELS, "outcome"))
    for model in models:
        family.add_metric((*_labels(model), _ANSWERED), model.answered_calls)
        for outcome, count in model.unanswered_by.items():
            family.add_metric((*_labels(model), outcome), count)
    return family


def _shed(models: Sequence[ModelMetrics]) -> Metric:
    family = CounterMetricFamily(
        "serinus_shed_total", "Calls refused while refusing was cheap, by why.", labels=(*_LABELS, "reason")
    )
    for model in models:
        for reason, count in model.shed_by.items():
            family.add_metric((*_labels(model), reason), count)
    return family


def _batches(models: Sequence[ModelMetrics]) -> Metric:
    family = CounterMetricFamily(
        "serinus_batches_total", "Runs of the model by what started them.", labels=(*_LABELS, "reason")
    )
    for model in models:
        for reason, count in model.batches_by.items():
            family.add_metric((*_labels(model), reason), count)
    return family


def _batch_rows(models: Sequence[ModelMetrics]) -> Metric:
    family = HistogramMetricFamily("serinus_batch_rows", "Rows of a run.", labels=_LABELS)
    bounds = [1 << power for power in range(_LARGEST_BATCH_BOUND.bit_length())]
    for model in models:
        sizes = [(rows, stat.count) for rows, stat in model.batch_sizes.copy().items()]
        shown = [(str(bound), sum(count for rows, count in sizes if rows <= bound)) for bound in bounds]
        runs = sum(count for _, count in sizes)
        family.add_metric(_labels(model), [*shown, ("+Inf", runs)], model.batch_rows)
    return family
