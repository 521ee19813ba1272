"""What is read from the notes of a run."""

import numpy as np
import pytest

from serinus.bench.calls import ANSWERED, NOT_SENT, Outcome
from serinus.bench.figures import Figures
from serinus.bench.notes import Notebook
from serinus.bench.run import Run, pooled_failures, pooled_latency_s
from serinus.bench.server_use import Use
from serinus.bench.spread import Spread

SHED = Outcome("RESOURCE_EXHAUSTED", "QUEUE_FULL")


def run_of(*calls, **given):
    """Of calls (due, ended, outcome, batch rows), sent when due; the window is seconds 1 to 3."""
    notebook = Notebook()
    for due, ended, outcome, batch_rows in calls:
        notebook.note(100 + due, 100 + due, 100 + ended, outcome, batch_rows)
    return Run(notebook.read(100.0), 1.0, 3.0, **given)


CALLS = (
    (0.5, 1.5, ANSWERED, 2),  # due in the warm-up
    (1.0, 1.2, ANSWERED, 4),
    (1.5, 1.6, SHED, 0),
    (2.0, 2.9, ANSWERED, 4),
    (2.5, 3.5, ANSWERED, 1),  # ends after the window
    (2.6, 2.6, NOT_SENT, 0),
)


def test_percentiles_are_of_calls_due_within_the_window():
    """Rates are of calls that ended within it."""
    run = run_of(*CALLS, deadline_s=0.5, server=Use(0.004, 10), generator_cpu_s=0.001)
    assert run.latencies_s.tolist() == pytest.approx([0.2, 0.9, 1.0])
    assert run.latency_s(50) == pytest.approx(0.9)
    assert run.reject_latencies_s.tolist() == pytest.approx([0.1])
    assert (run.calls, run.answered, run.failed, run.ended) == (5, 3, 2, 5)
    assert (run.offered_per_s, run.throughput_per_s, run.goodput_per_s) == (2.5, 1.5, 0.5)
    assert run.outcomes == {ANSWERED: 3, SHED: 1, NOT_SENT: 1}
    assert run.batch_rows.tolist() == [4, 4, 1]
    assert (run.server_cpu_us, run.generator_cpu_us) == pytest.approx((800, 200))


def test_without_a_deadline_every_answer_is_good():
    """However late."""
    run = run_of(*CALLS)
    assert run.goodput_per_s == run.throughput_per_s


def test_a_run_without_answers_has_no_percentiles():
    """And no error about it."""
    run = run_of((1.5, 1.6, SHED, 0))
    assert np.isnan(run.latency_s(99))
    assert np.isnan(run.server_cpu_us)
    assert run.void == ""


def test_a_run_without_calls_is_void():
    """It says nothing about anything."""
    assert run_of((0.5, 0.6, ANSWERED, 1)).void == "no call was due within the run"


def test_goodput_over_time_counts_answers_when_they_come():
    """In steps from the start, the warm-up included."""
    at, rate = run_of(*CALLS).goodput_over_time(1.0)
    assert at.tolist() == [0.5, 1.5, 2.5]
    assert rate.tolist() == [0.0, 2.0, 1.0]


@pytest.mark.parametrize(("step_s", "steps"), [(0.075, 40), (3 / 49, 49), (0.8, 4), (7.0, 1)])
def test_steps_end_with_the_window(step_s, steps):
    """An empty step behind its end would look like a server that stopped; a last one may reach beyond."""
    assert len(run_of(*CALLS).steps(step_s)) == steps + 1


def test_runs_are_pooled():
    """Their calls count as those of one."""
    runs = [run_of(*CALLS), run_of((1.0, 1.1, ANSWERED, 1))]
    assert pooled_latency_s(runs, 100) == pytest.approx(1.0)
    assert pooled_latency_s(runs, 0) == pytest.approx(0.1)
    assert pooled_failures(runs) == {SHED: 1, NOT_SENT: 1}


def test_figures_have_a_value_for_each_repeat():
    """And say for JSON which is the median."""
    figures = Figures.of([run_of(*CALLS), run_of((1.0, 1.5, ANSWERED, 4))])
    assert figures.latency_s[50.0] == Spread((pytest.approx(0.9), pytest.approx(0.5)))
    assert figures.outcomes == {"OK": 4, "RESOURCE_EXHAUSTED QUEUE_FULL": 1, "NOT_SENT TOO_MANY_OPEN": 1}
    assert figures.batch_rows == {1: 1, 4: 3}
    assert figures.void.startswith("1 calls were not sent")
    document = figures.document()
    assert document["offered_per_s"] == {"median": 1.5, "low": 0.5, "high": 2.5, "repeats": [2.5, 0.5]}
    assert set(document["latency_s"]) == {"p50", "p90", "p99", "p99.9"}


def test_a_spread_is_its_median_and_range():
    """A ratio is taken within each repeat."""
    spread = Spread((2.0, 8.0, 4.0))
    assert (spread.median, spread.low, spread.high) == (4.0, 2.0, 8.0)
    assert f"{spread:.1f}" == "4.0 (2.0 to 8.0)"
    assert f"{Spread((2.0,)):.1f}" == "2.0"
    assert spread.over(Spread((1.0, 2.0, 4.0))) == Spread((2.0, 4.0, 1.0))
    with pytest.raises(ValueError, match="expected at least one"):
        Spread(())
