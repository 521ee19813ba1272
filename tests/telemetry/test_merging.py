"""Several processes' `/metrics` in one."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from serinus.core.predictor import Route
from serinus.core.traffic import Arm, Trigger
from serinus.core.version import ModelVersion, Version
from serinus.telemetry.exposition import exposition
from serinus.telemetry.merging import GAUGE_RULES, exposed, merged, parsed
from serinus.telemetry.metrics import Metrics
from serinus.telemetry.outcome import DispatchReason, Outcome

VERSIONS = (
    ModelVersion("ocr", Version(1), 1),
    ModelVersion("ocr", Version(1, 1), 2),
    ModelVersion("name.with-all_of.it", Version(3), 3),
)


class Process:
    """A server's counters, and what it would answer."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.metrics = Metrics(self._registry)
        for version in VERSIONS:
            self.metrics.model(version).watch_queue(lambda: 2, lambda: 3)

    def text(self) -> str:
        return exposition(self._registry)[0].decode()


def happens(metrics: Metrics, what: int, version: ModelVersion, number: int) -> None:
    """One of the things that are counted; all seconds are sums of powers of two, so that no order of adding differs."""
    model = metrics.model(version)
    match what:
        case 0:
            seconds = number / 64  # whole microseconds, which is what Triton's counters show
            model.answered(request_s=seconds, queue_s=seconds, compute_s=seconds, rows=number)
        case 1:
            model.ran(rows=number, seconds=0.25, reason=DispatchReason.IDLE)
        case 2:
            model.unanswered(Outcome.SHED)
        case 3:
            metrics.refused("NOT_FOUND")
        case 4:
            metrics.loads.loaded(0.5)
        case _:
            metrics.rollouts.routed(version, Route.WEIGHT)
            metrics.rollouts.fell_back(version.model, Trigger.ERROR)


def counters(text: str) -> Mapping[str, float]:
    """What only grows and is ours."""
    return {
        key: value
        for family in parsed(text).values()
        if family.adds_up and family.name.startswith(("serinus_", "nv_"))
        for key, value in family.series.items()
    }


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(VERSIONS), st.integers(1, 5000), st.integers(0, 3)), max_size=40
    )
)
def test_parts_make_up_the_whole(events: list[tuple[int, ModelVersion, int, int]]):
    """However what happens is spread over processes, they show together what one process would have shown."""
    whole, parts = Process(), [Process() for _ in range(4)]
    for what, version, number, part in events:
        happens(whole.metrics, what, version, number)
        happens(parts[part].metrics, what, version, number)
    together = exposed(merged(parsed(part.text()) for part in parts))
    assert counters(together) == counters(whole.text())


def test_one_process_shows_what_it_showed():
    """Nothing is lost or changed on the way, to the letter."""
    process = Process()
    happens(process.metrics, 0, VERSIONS[0], 7)
    process.metrics.watch_bytes_in_flight(lambda: 5, 10)
    text = process.text()
    assert exposed(merged([parsed(text)])) == text


def test_prometheus_reads_the_sum():
    """The merged text is one that others can read: names, types, labels and values."""
    parts = [Process(), Process()]
    for part in parts:
        happens(part.metrics, 0, VERSIONS[0], 64)
    families = {f.name: f for f in text_string_to_metric_families(exposed(merged(parsed(p.text()) for p in parts)))}
    rows, labels = families["serinus_rows"], {"model": "ocr", "version": "1.0.0"}
    assert (rows.type, [s.value for s in rows.samples if s.labels == labels]) == ("counter", [128])
    seconds = families["serinus_request_seconds"]
    assert seconds.type == "histogram"
    assert [s.value for s in seconds.samples if s.labels == {**labels, "le": "+Inf"}] == [2]
    assert [s.value for s in seconds.samples if s.labels == labels] == [2, 2.0]


def test_each_gauge_follows_its_rule():
    """What waits is added, what is late is the worst, what all act by is the oldest."""
    texts = [
        f"""# HELP serinus_queue_calls Calls.
# TYPE serinus_queue_calls gauge
serinus_queue_calls{{model="a"}} {queued}
# HELP serinus_event_loop_lag_seconds Lag.
# TYPE serinus_event_loop_lag_seconds gauge
serinus_event_loop_lag_seconds {lag}
# HELP serinus_registry_revision Revision.
# TYPE serinus_registry_revision gauge
serinus_registry_revision {revision}
# HELP nobody_said_how What no rule names.
# TYPE nobody_said_how gauge
nobody_said_how {lag}
"""
        for queued, lag, revision in ((1.0, 0.5, 12.0), (4.0, 0.25, 11.0))
    ]
    found = merged(map(parsed, texts))
    assert {key: value for family in found.values() for key, value in family.series.items()} == {
        'serinus_queue_calls{model="a"}': 5.0,
        "serinus_event_loop_lag_seconds": 0.5,
        "serinus_registry_revision": 11.0,
        "nobody_said_how": 0.5,
    }


def test_every_gauge_that_a_server_shows_has_a_rule():
    """A gauge without one would be shown by a rule that nobody thought about."""
    process = Process()
    metrics = process.metrics
    metrics.watch_bytes_in_flight(lambda: 1, 2)
    metrics.watch_registry(lambda: 1, lambda: False)
    metrics.rollouts.shared_out("ocr", (Arm(VERSIONS[0], 10_000),))
    metrics.rollouts.decided("ocr", "started", "running")
    metrics.rollouts.judged("ocr", {"error_rate": 3.0})
    gauges = {family.name for family in parsed(process.text()).values() if family.kind == "gauge"}
    assert gauges - GAUGE_RULES.keys() == set()


def test_what_is_not_known_of_one_is_not_known_of_all():
    """NaN is no least and no most."""
    text = "# HELP serinus_event_loop_lag_seconds Lag.\n# TYPE serinus_event_loop_lag_seconds gauge\n"
    found = merged(parsed(f"{text}serinus_event_loop_lag_seconds {value}\n") for value in ("1.0", "NaN"))
    assert math.isnan(found["serinus_event_loop_lag_seconds"].series["serinus_event_loop_lag_seconds"])


@pytest.mark.parametrize("text", ["serinus_rows_total 3\n", "# TYPE a counter\nnonsense\n", "# TYPE a counter\na x\n"])
def test_what_is_no_exposition_of_ours_is_refused(text: str):
    """A sample without its metric, without a value, or with a word for one."""
    with pytest.raises(ValueError, match=r"not a sample|could not convert"):
        parsed(text)
