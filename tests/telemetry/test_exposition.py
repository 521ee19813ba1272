"""A scrape, as Prometheus parses it."""

import math
import types

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from serinus.core.version import ModelVersion, Version
from serinus.telemetry.exposition import exposition
from serinus.telemetry.histogram import BOUNDS_S
from serinus.telemetry.metrics import Metrics
from serinus.telemetry.outcome import DispatchReason, Outcome, Shed
from serinus.telemetry.triton import FAILURE_REASON

MAGIKA = ModelVersion("magika", Version(1, 2), 7)
LABELS = {"model": "magika", "version": "1.2.0"}
TRITON_LABELS = {"model": "magika", "version": "7"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def scrape(registry: CollectorRegistry) -> dict[str, Metric]:
    body, content_type = exposition(registry)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def values(family: Metric, label: str = "") -> dict[str, float]:
    return {sample.labels.get(label, sample.name): sample.value for sample in family.samples}


def test_a_histogram_is_cumulative_with_one_bucket_a_doubling(registry: CollectorRegistry, metrics: Metrics):
    """Bounds are every fourth of the kept ones; +Inf holds what lies above them all and equals the count."""
    model = metrics.model(MAGIKA)
    for seconds in (0.5e-6, 3e-6, 0.003, 500.0):
        model.answered(request_s=seconds, queue_s=0.0, compute_s=0.0, rows=1)
    samples = scrape(registry)["serinus_request_seconds"].samples
    buckets = {float(s.labels["le"]): s.value for s in samples if s.name.endswith("_bucket")}
    assert list(buckets) == [*BOUNDS_S[::4], math.inf]
    assert buckets == {bound: sum(x <= bound for x in (0.5e-6, 3e-6, 0.003, 500.0)) for bound in buckets}
    totals = {s.name: (s.labels, s.value) for s in samples if not s.name.endswith("_bucket")}
    assert totals == {
        "serinus_request_seconds_count": (LABELS, 4),
        "serinus_request_seconds_sum": (LABELS, pytest.approx(500.0030035)),
    }


def test_calls_and_runs_are_counted_by_label(registry: CollectorRegistry, metrics: Metrics):
    """Each event shows in the one series that its label names."""
    model = metrics.model(MAGIKA)
    model.answered(request_s=0.1, queue_s=0.1, compute_s=0.1, rows=5)
    for outcome in (Outcome.SHED, Outcome.SHED, Outcome.EXPIRED):
        model.unanswered(outcome)
    model.shed("EVICTED")
    model.shed("A_REASON_THAT_IS_NEW")
    model.ran(rows=5, seconds=0.1, reason=DispatchReason.PREFERRED)
    model.ran(rows=4, seconds=0.1, reason=DispatchReason.PREFERRED)
    model.ran(rows=1 << 20, seconds=0.1, reason=DispatchReason.FULL)
    model.poisoned(3)
    metrics.refused("NOT_LOADED")
    families = scrape(registry)
    assert values(families["serinus_requests"], "outcome") == {
        "answered": 1,
        "invalid": 0,
        "shed": 2,
        "expired": 1,
        "cancelled": 0,
        "failed": 0,
    }
    sheds = values(families["serinus_shed"], "reason")
    assert {reason: count for reason, count in sheds.items() if count} == {"evicted": 1, "other": 1}
    assert set(sheds) == set(Shed)
    assert values(families["serinus_batches"], "reason") == {
        "full": 1,
        "idle": 0,
        "linger": 0,
        "preferred": 2,
        "rerun": 0,
    }
    assert values(families["serinus_rows"]) == {"serinus_rows_total": 5}
    assert values(families["serinus_poison_calls"]) == {"serinus_poison_calls_total": 3}
    assert values(families["serinus_refused"], "reason")["not_loaded"] == 1
    rows = {s.labels.get("le", s.name): s.value for s in families["serinus_batch_rows"].samples}
    assert {le: rows[le] for le in ("2", "4", "8", "4096", "+Inf")} == {"2": 0, "4": 1, "8": 2, "4096": 2, "+Inf": 3}
    assert (rows["serinus_batch_rows_count"], rows["serinus_batch_rows_sum"]) == (3, 9 + (1 << 20))


def test_gauges_show_what_their_owners_say(registry: CollectorRegistry, metrics: Metrics):
    """Queue, bytes and lag are read during the scrape."""
    metrics.model(MAGIKA).watch_queue(lambda: 2, lambda: 9)
    metrics.watch_bytes_in_flight(lambda: 77, 100)
    metrics.watch_registry(lambda: 12, lambda: True)
    metrics.loop_lag(0.25)
    metrics.watch_memory(types.SimpleNamespace(level=1, used=0.92))
    families = scrape(registry)
    shown = {name: [s.value for s in f.samples] for name, f in families.items() if f.type == "gauge"}
    ours = {name: found for name, found in shown.items() if name.startswith(("serinus", "nv_"))}
    assert ours == {
        "serinus_queue_calls": [2],
        "serinus_queue_rows": [9],
        "serinus_bytes_in_flight": [77],
        "serinus_bytes_limit": [100],
        "serinus_memory_used_ratio": [0.92],
        "serinus_memory_pressure": [1],
        "serinus_registry_revision": [12],
        "serinus_registry_behind": [1],
        "serinus_event_loop_lag_seconds": [0.25],
        "serinus_breaker_state": [1, 0, 0],
        "nv_inference_pending_request_count": [2],
    }


def test_a_broken_gauge_leaves_the_scrape_whole(registry: CollectorRegistry, metrics: Metrics):
    """A gauge that raises is missing; everything else is there."""
    metrics.model(MAGIKA).watch_queue(lambda: 1 // 0, lambda: 9)
    metrics.watch_bytes_in_flight(lambda: 1 // 0, 100)
    families = scrape(registry)
    assert "serinus_queue_calls" not in families
    assert "nv_inference_pending_request_count" not in families
    assert "serinus_bytes_in_flight" not in families
    assert values(families["serinus_queue_rows"]) == {"serinus_queue_rows": 9}
    assert families["serinus_request_seconds"].samples


def test_triton_names_stand_beside_ours(registry: CollectorRegistry, metrics: Metrics):
    """Counters carry Triton's names without `_total`, microseconds, and the integer version."""
    model = metrics.model(MAGIKA)
    model.answered(request_s=0.5, queue_s=0.125, compute_s=0.25, rows=3)
    model.encoded(0.0625)
    model.ran(rows=3, seconds=0.25, reason=DispatchReason.IDLE)
    model.unanswered(Outcome.SHED)
    model.unanswered(Outcome.EXPIRED)
    model.unanswered(Outcome.CANCELLED)
    lines = [line for line in exposition(registry)[0].decode().splitlines() if "nv_" in line and "# HELP" not in line]
    labels = 'model="magika",version="7"'
    assert lines == [
        "# TYPE nv_inference_request_success counter",
        f"nv_inference_request_success{{{labels}}} 1.0",
        "# TYPE nv_inference_count counter",
        f"nv_inference_count{{{labels}}} 3.0",
        "# TYPE nv_inference_exec_count counter",
        f"nv_inference_exec_count{{{labels}}} 1.0",
        "# TYPE nv_inference_request_duration_us counter",
        f"nv_inference_request_duration_us{{{labels}}} 500000.0",
        "# TYPE nv_inference_queue_duration_us counter",
        f"nv_inference_queue_duration_us{{{labels}}} 125000.0",
        "# TYPE nv_inference_compute_input_duration_us counter",
        f"nv_inference_compute_input_duration_us{{{labels}}} 0.0",
        "# TYPE nv_inference_compute_infer_duration_us counter",
        f"nv_inference_compute_infer_duration_us{{{labels}}} 250000.0",
        "# TYPE nv_inference_compute_output_duration_us counter",
        f"nv_inference_compute_output_duration_us{{{labels}}} 62500.0",
        "# TYPE nv_inference_request_failure counter",
        'nv_inference_request_failure{model="magika",reason="OTHER",version="7"} 0.0',
        'nv_inference_request_failure{model="magika",reason="REJECTED",version="7"} 2.0',
        'nv_inference_request_failure{model="magika",reason="CANCELED",version="7"} 1.0',
        'nv_inference_request_failure{model="magika",reason="BACKEND",version="7"} 0.0',
    ]


def test_each_outcome_has_a_word_of_triton():
    """The table is total."""
    assert set(FAILURE_REASON) == set(Outcome)


def test_only_loaded_versions_have_series(registry: CollectorRegistry, metrics: Metrics):
    """However many versions come and go and however many names callers try, the scrape keeps its size."""
    metrics.model(MAGIKA)
    lines = exposition(registry)[0].count(b"\n")
    for number in range(200):
        passing = ModelVersion(f"model-{number}", Version(1), number)
        metrics.model(passing).unanswered(Outcome.INVALID)
        metrics.refused(f"no such model {number}")
        metrics.forget(passing)
    assert exposition(registry)[0].count(b"\n") == lines


def test_the_process_and_its_runtime_are_shown(registry: CollectorRegistry, metrics: Metrics):
    """Memory, file descriptors, the Python version and garbage collection come along, before any model is loaded."""
    assert metrics.models() == ()
    names = scrape(registry).keys()
    assert names >= {"process_resident_memory_bytes", "process_open_fds", "python_info", "python_gc_collections"}


def test_the_text_is_what_prometheus_client_writes(registry: CollectorRegistry, metrics: Metrics):
    """Apart from Triton's names and from families without samples, its writer is the oracle, escapes included."""
    hostile = 'a"b\\c\nd\u2028é'
    metrics.model(ModelVersion(hostile, Version(3), 3)).answered(request_s=1e-9, queue_s=1e9, compute_s=0.0, rows=10**7)
    gauge = Gauge("odd", f"help \\ of {hostile}", ["label"], registry=registry)
    for value in (math.nan, math.inf, -math.inf, 1e-7, 123456789.5):
        gauge.labels(f"{value}{hostile}").set(value)
    ours, theirs = (
        {line for line in text.decode().split("\n") if not line.startswith(("process_", "python_", "#"))}
        for text in (exposition(registry)[0], generate_latest(registry))
    )
    assert ours == theirs
    heads = {
        line for line in exposition(registry)[0].decode().split("\n") if line.startswith("#") and "nv_" not in line
    }
    assert heads <= {line for line in generate_latest(registry).decode().split("\n") if line.startswith("#")}


def test_loads_are_counted_over_all_models(registry: CollectorRegistry, metrics: Metrics):
    """How long they took, how many failed, and what made room for others; without labels."""
    for seconds in (0.5, 2.0):
        metrics.loads.loaded(seconds)
    metrics.loads.failed()
    metrics.loads.evicted()
    families = scrape(registry)
    durations = {s.labels.get("le", s.name): s.value for s in families["serinus_model_load_seconds"].samples}
    totals = ("serinus_model_load_seconds_count", "serinus_model_load_seconds_sum", "+Inf")
    assert [durations[name] for name in totals] == [2, 2.5, 2]
    assert values(families["serinus_model_loads_failed"]) == {"serinus_model_loads_failed_total": 1}
    assert values(families["serinus_model_evictions"]) == {"serinus_model_evictions_total": 1}
