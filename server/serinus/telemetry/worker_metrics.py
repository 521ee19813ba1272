"""What the supervisor itself shows in `/metrics`: how its workers fare, and what is quarantined."""

import collections
import dataclasses
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from serinus.core.version import ModelVersion


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker at the time of a scrape.

    Attributes:
        index: From 1.
        state: One of few words.
        restarts: How often a process was started in its place, after the first.
        is_up: Whether it has answered.
        resident_bytes: Memory that it takes; None when it has not said.
    """

    index: int
    state: str
    restarts: int
    is_up: bool
    resident_bytes: float | None


def worker_families(
    workers: Sequence[WorkerRow], *, states: Sequence[str], quarantined: Sequence[ModelVersion]
) -> Iterator[Metric]:
    """All families; `states` are all words that a state can be, so that one that nobody is in shows 0."""
    count = collections.Counter(worker.state for worker in workers)
    by_state = GaugeMetricFamily("serinus_workers", "Processes that serve, by what they do.", labels=("state",))
    for state in states:
        by_state.add_metric((state,), count[state])
    up = GaugeMetricFamily("serinus_worker_up", "1 for a worker that answers, else 0.", labels=("worker",))
    restarts = CounterMetricFamily(
        "serinus_worker_restarts_total", "Processes started in a worker's place after the first.", labels=("worker",)
    )
    resident = GaugeMetricFamily("serinus_worker_resident_bytes", "Memory that a worker takes.", labels=("worker",))
    for worker in workers:
        label = (str(worker.index),)
        up.add_metric(label, float(worker.is_up))
        restarts.add_metric(label, worker.restarts)
        if worker.resident_bytes is not None:
            resident.add_metric(label, worker.resident_bytes)
    kept_out = GaugeMetricFamily(
        "serinus_quarantined",
        "1 for a version that is not loaded because workers died of it.",
        labels=("model", "version"),
    )
    for version in quarantined:
        kept_out.add_metric((version.model, version.version_text), 1.0)
    return iter((by_state, up, restarts, resident, kept_out))
