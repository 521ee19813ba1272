"""What is counted about one version."""

import pytest

from serinus.core.version import ModelVersion, Version
from serinus.telemetry.model_metrics import BatchStat, CountAndTime, InferenceStatistics, ModelMetrics, power_of_two
from serinus.telemetry.outcome import DispatchReason, Outcome

MAGIKA = ModelVersion("magika", Version(1, 2), 7)


@pytest.fixture
def model() -> ModelMetrics:
    return ModelMetrics(MAGIKA, clock=lambda: 1_700_000_000.5)


def test_an_answer_counts_in_three_phases(model: ModelMetrics):
    """An answered call adds its rows and one duration to each of request, queue and compute."""
    model.answered(request_s=0.010, queue_s=0.002, compute_s=0.007, rows=3)
    assert (model.answered_calls, model.rows, model.last_answer_unix_s) == (1, 3, 1_700_000_000.5)
    assert [(h.count, h.sum_s) for h in (model.request, model.queue, model.compute, model.encode)] == [
        (1, 0.010),
        (1, 0.002),
        (1, 0.007),
        (0, 0.0),
    ]


def test_statistics_have_equal_counts_for_queue_and_compute(model: ModelMetrics):
    """perf_analyzer stops when the counts of the compute phases differ, so all follow the answered calls."""
    for _ in range(2):
        model.answered(request_s=0.25, queue_s=0.125, compute_s=0.5, rows=1)
    model.encoded(0.0625)
    model.unanswered(Outcome.SHED)
    model.unanswered(Outcome.FAILED, request_s=1.5)
    model.unanswered(Outcome.EXPIRED, request_s=float("nan"))
    assert model.statistics() == InferenceStatistics(
        success=CountAndTime(2, 500_000_000),
        fail=CountAndTime(3, 1_500_000_000),
        queue=CountAndTime(2, 250_000_000),
        compute_input=CountAndTime(2, 0),
        compute_infer=CountAndTime(2, 1_000_000_000),
        compute_output=CountAndTime(2, 62_500_000),
    )


def test_unanswered_calls_count_by_outcome(model: ModelMetrics):
    """Each outcome has its count from the start, by the name that operators read."""
    model.unanswered(Outcome.CANCELLED)
    model.unanswered(Outcome.CANCELLED)
    assert model.unanswered_by == {"invalid": 0, "shed": 0, "expired": 0, "cancelled": 2, "failed": 0}
    assert repr(model) == "<ModelMetrics magika@1.2.0 [0 answered, 2 unanswered]>"


def test_runs_count_by_reason_and_by_size(model: ModelMetrics):
    """A run adds to its reason, its rows and the time of its batch size; a backward clock adds no time."""
    model.ran(rows=8, seconds=0.5, reason=DispatchReason.FULL)
    model.ran(rows=8, seconds=0.25, reason=DispatchReason.IDLE)
    model.ran(rows=1, seconds=-3.0, reason=DispatchReason.RERUN)
    model.poisoned(2)
    assert (model.batches, model.batch_rows, model.poison_calls) == (3, 17, 2)
    assert model.batches_by == {"full": 1, "idle": 1, "linger": 0, "preferred": 0, "rerun": 1}
    assert model.batch_sizes == {8: BatchStat(2, 0.75), 1: BatchStat(1, 0.0)}


def test_very_many_batch_sizes_share_powers_of_two(model: ModelMetrics):
    """Callers choose how many rows there are, and may not choose how much is remembered; no run is lost."""
    for rows in range(5000):
        model.ran(rows=rows, seconds=1.0, reason=DispatchReason.IDLE)
    assert len(model.batch_sizes) < 300
    assert sum(stat.count for stat in model.batch_sizes.values()) == 5000
    assert model.batch_sizes[2048] == BatchStat(1024, 1024.0)


@pytest.mark.parametrize(("rows", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1025, 2048)])
def test_a_power_of_two_is_not_below_the_rows(rows: int, power: int):
    """The bound that stands for a batch size is the least that holds it."""
    assert power_of_two(rows) == power


def test_a_queue_is_read_when_asked(model: ModelMetrics):
    """Gauges hold no copy: they say what the queue says."""
    waiting = [5, 9]
    assert (model.queue_calls, model.queue_rows) == (None, None)
    model.watch_queue(lambda: len(waiting), lambda: sum(waiting))
    waiting.append(1)
    assert (model.queue_calls, model.queue_rows) == (3, 15)


@pytest.mark.parametrize("broken", [lambda: 1 / 0, lambda: None, lambda: "many", lambda: float("nan")])
def test_a_broken_gauge_says_nothing(model: ModelMetrics, broken):
    """Whatever a gauge does, reading it gives a number or None."""
    model.watch_queue(broken, lambda: 4)
    assert (model.queue_calls, model.queue_rows) == (None, 4)
