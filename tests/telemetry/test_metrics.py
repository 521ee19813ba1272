"""The object that layers report to."""

import pytest
from prometheus_client import CollectorRegistry

from serinus.core.version import ModelVersion, Version
from serinus.telemetry.metrics import Metrics
from serinus.telemetry.outcome import Outcome

FIRST = ModelVersion("magika", Version(1, 0, 0), 1)
SECOND = ModelVersion("magika", Version(2, 0, 0), 2)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def test_a_version_has_one_handle(metrics: Metrics):
    """Two layers that ask for a version count into the same place."""
    assert metrics.model(FIRST) is metrics.model(ModelVersion("magika", Version(1, 0, 0), 1))
    assert metrics.model(SECOND) is not metrics.model(FIRST)
    assert [model.version for model in metrics.models()] == [FIRST, SECOND]


def test_a_forgotten_version_is_gone_and_its_handle_still_works(metrics: Metrics):
    """A call that outlives its version counts without harm; the version starts from zero when it comes back."""
    handle = metrics.model(FIRST)
    metrics.forget(FIRST)
    metrics.forget(FIRST)
    handle.unanswered(Outcome.CANCELLED)
    assert metrics.models() == ()
    assert metrics.model(FIRST).unanswered_by[Outcome.CANCELLED] == 0


def test_encoding_counts_for_shown_versions_alone(metrics: Metrics):
    """The last answers of an unloaded version do not bring it back."""
    metrics.model(FIRST)
    metrics.encoded(FIRST, 0.5)
    metrics.encoded(SECOND, 0.5)
    assert [(model.version, model.encode.count, model.encode.sum_s) for model in metrics.models()] == [(FIRST, 1, 0.5)]


def test_refusals_have_a_bounded_list_of_reasons(metrics: Metrics):
    """However many reasons callers think of, the unknown ones are one."""
    metrics.refused("NOT_FOUND")
    for number in range(1000):
        metrics.refused(f"made up {number}")
    assert metrics.refusals == {"not_found": 1, "other": 1000}


def test_the_worst_lag_is_kept_until_it_is_old(metrics: Metrics):
    """A stall stays visible for a scrape interval, then goes."""
    assert (metrics.loop_lag_s, metrics.worst_loop_lag_s) == (0.0, 0.0)
    metrics.loop_lag(0.75)
    for _ in range(149):
        metrics.loop_lag(0.001)
    assert (metrics.loop_lag_s, metrics.worst_loop_lag_s) == (0.001, 0.75)
    metrics.loop_lag(0.001)
    assert metrics.worst_loop_lag_s == 0.001


def test_bytes_in_flight_are_read_when_asked(metrics: Metrics):
    """The gauge follows its owner; before it has one it says nothing."""
    assert (metrics.bytes_in_flight, metrics.bytes_limit) == (None, None)
    held = [100]
    metrics.watch_bytes_in_flight(lambda: sum(held), 1 << 30)
    held.append(11)
    assert (metrics.bytes_in_flight, metrics.bytes_limit) == (111, 1 << 30)
