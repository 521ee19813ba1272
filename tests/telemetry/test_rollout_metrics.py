"""What is counted about rollouts, and how a scrape shows it."""

import math

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from serinus.core.predictor import Route
from serinus.core.traffic import Arm, Trigger
from serinus.core.version import ModelVersion, Version
from serinus.rollout.journal_entries import Happening
from serinus.rollout.rollout import Status
from serinus.serving.routing import breaker as serving
from serinus.telemetry.exposition import exposition
from serinus.telemetry.metrics import Metrics
from serinus.telemetry.outcome import BreakerState, Delivery, PairEnd, RolloutEvent, RolloutState

OLD = ModelVersion("magika", Version(1), 1)
NEW = ModelVersion("magika", Version(2), 2)
OTHER = ModelVersion("other", Version(1), 1)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    metrics = Metrics(registry)
    metrics.model(OLD)
    metrics.model(NEW)
    return metrics


def shown(registry: CollectorRegistry, family: str) -> dict[tuple[str, ...], float]:
    """What a scrape says that is not 0, by the values of the labels, those in the order of their names."""
    families = text_string_to_metric_families(exposition(registry)[0].decode())
    samples = [sample for each in families if each.name == family for sample in each.samples if sample.value]
    return {tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in samples}


def test_calls_are_counted_by_version_and_why_it_was_chosen(registry: CollectorRegistry, metrics: Metrics):
    """Each reason is a series of its own."""
    for version, route in ((OLD, Route.WEIGHT), (NEW, Route.WEIGHT), (OLD, Route.WEIGHT), (OLD, Route.PINNED)):
        metrics.rollouts.routed(version, route)
    assert shown(registry, "serinus_routed_calls") == {
        ("magika", "pinned", "1.0.0"): 1,
        ("magika", "weight", "1.0.0"): 2,
        ("magika", "weight", "2.0.0"): 1,
    }


def test_fallbacks_are_counted_by_why(registry: CollectorRegistry, metrics: Metrics):
    """Of the model, since the one who answers may belong to another."""
    for trigger in (Trigger.ERROR, Trigger.ERROR, Trigger.BREAKER):
        metrics.rollouts.fell_back("magika", trigger)
    metrics.rollouts.fell_through("magika", Trigger.TIMEOUT)
    assert shown(registry, "serinus_fallbacks") == {("magika", "error"): 2, ("magika", "breaker"): 1}
    assert shown(registry, "serinus_fallbacks_failed") == {("magika", "timeout"): 1}


def test_a_breaker_shows_its_state_and_how_often_it_opened(registry: CollectorRegistry, metrics: Metrics):
    """A probe that fails opens it anew; saying twice that it is open does not; other words say nothing."""
    for state in ("open", "open", "half_open", "open", "ajar"):
        metrics.rollouts.breaker_changed(NEW, state)
    assert shown(registry, "serinus_breaker_state") == {
        ("magika", "closed", "1.0.0"): 1,
        ("magika", "open", "2.0.0"): 1,
    }
    assert shown(registry, "serinus_breaker_openings") == {("magika", "2.0.0"): 2}


def test_mirrored_calls_are_counted_by_how_the_answers_compare(registry: CollectorRegistry, metrics: Metrics):
    """Those that were dropped too."""
    for end in (PairEnd.SAME, PairEnd.SAME, PairEnd.DIFFERENT, PairEnd.FAILED, PairEnd.DROPPED):
        metrics.rollouts.mirrored("magika", end)
    assert shown(registry, "serinus_mirrored_calls") == {
        ("magika", "same"): 2,
        ("magika", "different"): 1,
        ("magika", "failed"): 1,
        ("magika", "dropped"): 1,
    }


def test_a_split_is_shown_as_it_is_now(registry: CollectorRegistry, metrics: Metrics):
    """An arm that is no more has no series."""
    metrics.rollouts.shared_out("magika", (Arm(NEW, 500), Arm(OLD, 9_500)))
    assert shown(registry, "serinus_traffic_weight_ratio") == {("magika", "1.0.0"): 0.95, ("magika", "2.0.0"): 0.05}
    metrics.rollouts.shared_out("magika", (Arm(OLD, 10_000),))
    assert shown(registry, "serinus_traffic_weight_ratio") == {("magika", "1.0.0"): 1.0}
    metrics.rollouts.shared_out("magika", ())
    assert shown(registry, "serinus_traffic_weight_ratio") == {}


def test_a_model_that_has_gone_does_not_come_back_to_say_so(metrics: Metrics):
    """Its last version may be unloaded before its split is taken away."""
    metrics.rollouts.shared_out("magika", ())
    assert metrics.rollouts.models() == {}


def test_decisions_are_counted_and_the_last_status_is_shown(registry: CollectorRegistry, metrics: Metrics):
    """Words that nobody foresaw make no series of their own."""
    for event, status in (("stage", "running"), ("stage", "running"), ("abracadabra", "paused"), ("x", "failing")):
        metrics.rollouts.decided("magika", event, status)
    assert shown(registry, "serinus_rollout_decisions") == {("stage", "magika"): 2, ("other", "magika"): 2}
    assert shown(registry, "serinus_rollout_status") == {("magika", "failing"): 1}
    metrics.rollouts.decided("magika", "stage", "no such status")
    assert shown(registry, "serinus_rollout_status") == {}


def test_evidence_is_shown_as_a_power_of_ten(registry: CollectorRegistry, metrics: Metrics):
    """However strong, but no weaker than a millionth; a check that is no more takes its series away."""
    metrics.rollouts.judged("magika", {"errors": 1000.0, "latency": math.inf, "invalid": 0.0})
    evidence = shown(registry, "serinus_rollout_evidence_log10")
    assert evidence == {
        ("errors", "magika"): pytest.approx(3),
        ("latency", "magika"): math.inf,
        ("invalid", "magika"): pytest.approx(-6),
    }
    metrics.rollouts.judged("magika", {"errors": 10.0})
    assert shown(registry, "serinus_rollout_evidence_log10") == {("errors", "magika"): 1.0}


def test_deliveries_are_counted_by_their_end(registry: CollectorRegistry, metrics: Metrics):
    """Without the receiver, whose address may be a secret."""
    for outcome in (Delivery.FAILED, Delivery.DELIVERED):
        metrics.rollouts.delivered(outcome)
    assert shown(registry, "serinus_webhook_deliveries") == {("failed",): 1, ("delivered",): 1}


def test_what_is_gone_has_no_series_and_late_calls_bring_none_back(registry: CollectorRegistry, metrics: Metrics):
    """A version goes alone; the last one takes its model along."""
    rollouts = metrics.rollouts
    rollouts.fell_back("magika", Trigger.ERROR)
    rollouts.routed(NEW, Route.WEIGHT)
    metrics.forget(NEW)
    rollouts.routed(NEW, Route.WEIGHT)
    rollouts.breaker_changed(NEW, "open")
    assert [traffic.version for traffic in rollouts.versions()] == [OLD]
    assert list(rollouts.models()) == ["magika"]
    metrics.forget(OLD)
    assert (rollouts.versions(), rollouts.models()) == ((), {})
    metrics.model(NEW)
    assert shown(registry, "serinus_routed_calls") == {}


def test_models_do_not_touch_each_other(registry: CollectorRegistry, metrics: Metrics):
    """A name that begins or sounds the same is another."""
    metrics.model(OTHER)
    metrics.rollouts.fell_back("magika", Trigger.ERROR)
    metrics.forget(OTHER)
    assert shown(registry, "serinus_fallbacks") == {("magika", "error"): 1}


def test_the_lists_are_those_of_rollouts():
    """The words are another package's, which cannot be imported from here."""
    assert [state.value for state in RolloutState] == [status.value for status in Status]
    assert [event.value for event in RolloutEvent] == [*Happening, "other"]
    assert [state.value for state in BreakerState] == [state.value for state in serving.BreakerState]
