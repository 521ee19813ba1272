"""How the counters of rollouts look to Prometheus."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serinus.core.predictor import Route
from serinus.core.traffic import WHOLE
from serinus.telemetry.outcome import BreakerState, RolloutState
from serinus.telemetry.rollout_metrics import ModelTraffic, RolloutMetrics, VersionTraffic

_VERSION = ("model", "version")


class RolloutCollector(Collector):
    """Reads the counters when Prometheus asks, perhaps on another thread."""

    def __init__(self, metrics: RolloutMetrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry would otherwise collect once merely to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from _versions(self._metrics.versions())
        yield from _models(self._metrics.models())
        deliveries = CounterMetricFamily(
            "serinus_webhook_deliveries_total", "Tries to tell a webhook something.", labels=("outcome",)
        )
        for outcome, count in self._metrics.deliveries.items():
            deliveries.add_metric((outcome,), count)
        yield deliveries


def _versions(versions: Sequence[VersionTraffic]) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "serinus_routed_calls_total", "Calls by why the version was chosen.", labels=(*_VERSION, "route")
    )
    states = GaugeMetricFamily(
        "serinus_breaker_state", "1 for what the circuit breaker does, else 0.", labels=(*_VERSION, "state")
    )
    openings = CounterMetricFamily(
        "serinus_breaker_openings_total", "How often the circuit breaker took the version out.", labels=_VERSION
    )
    for traffic in versions:
        labels = traffic.version.model, traffic.version.version_text
        for route in Route:
            calls.add_metric((*labels, route.name.lower()), traffic.calls[route])
        for state in BreakerState:
            states.add_metric((*labels, state), float(state is traffic.breaker))
        openings.add_metric(labels, traffic.breaker_openings)
    return iter((calls, states, openings))


def _models(models: Mapping[str, ModelTraffic]) -> Iterator[Metric]:
    fallbacks = CounterMetricFamily(
        "serinus_fallbacks_total", "Calls answered by another than the chosen version.", labels=("model", "trigger")
    )
    failed_fallbacks = CounterMetricFamily(
        "serinus_fallbacks_failed_total", "Calls that nobody else could answer either.", labels=("model", "trigger")
    )
    pairs = CounterMetricFamily(
        "serinus_mirrored_calls_total", "Copies of calls, by how both answers compare.", labels=("model", "outcome")
    )
    decisions = CounterMetricFamily(
        "serinus_rollout_decisions_total", "What happened to rollouts.", labels=("model", "event")
    )
    weights = GaugeMetricFamily("serinus_traffic_weight_ratio", "Share of the calls by weight.", labels=_VERSION)
    states = GaugeMetricFamily(
        "serinus_rollout_status", "1 for where the model's last rollout stands, else 0.", labels=("model", "status")
    )
    evidence = GaugeMetricFamily(
        "serinus_rollout_evidence_log10", "Evidence against the candidate: log10 of e.", labels=("model", "check")
    )
    for model, traffic in models.items():
        for trigger, count in traffic.fallbacks.items():
            fallbacks.add_metric((model, trigger), count)
        for trigger, count in traffic.failed_fallbacks.items():
            failed_fallbacks.add_metric((model, trigger), count)
        for end, count in traffic.pairs.items():
            pairs.add_metric((model, end), count)
        for event, count in traffic.decisions.copy().items():
            decisions.add_metric((model, event), count)
        for arm in traffic.arms:
            weights.add_metric((model, arm.version.version_text), arm.weight / WHOLE)
        if traffic.state is not None:
            for state in RolloutState:
                states.add_metric((model, state), float(state is traffic.state))
        for check, value in traffic.evidence.items():
            evidence.add_metric((model, check), value)
    return iter((fallbacks, failed_fallbacks, pairs, decisions, weights, states, evidence))
