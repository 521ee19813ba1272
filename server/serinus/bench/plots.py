"""Pictures of runs, as PNG files; needs matplotlib, which the extra `bench` brings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serinus.bench.figures import PERCENTS, Figures
from serinus.bench.notes import Floats
from serinus.bench.run import Run

_STEPS = 40  # of a picture over time


def save_goodput(path: Path, lines: Mapping[str, Sequence[Figures]], *, capacity_per_s: float) -> None:
    """Goodput against offered load, one line for each name, beside what an ideal server would answer."""
    figure, axes = _figure(1)
    most = max(point.offered_per_s.median for points in lines.values() for point in points)
    offered = np.linspace(0, most, 200)
    axes[0].plot(offered, np.minimum(offered, capacity_per_s), "--", color="grey", label="ideal")
    for name, points in lines.items():
        x = [point.offered_per_s.median for point in points]
        y = [point.goodput_per_s.median for point in points]
        below = [point.goodput_per_s.median - point.goodput_per_s.low for point in points]
        above = [point.goodput_per_s.high - point.goodput_per_s.median for point in points]
        axes[0].errorbar(x, y, yerr=[below, above], marker="o", capsize=3, label=name)
    _label(axes[0], "calls offered a second", "calls answered in time a second")
    axes[0].set_ylim(bottom=0)
    figure.savefig(path)


def save_latencies(path: Path, lines: Mapping[str, Sequence[Figures]]) -> None:
    """Percentiles of the answered calls against offered load, one picture for each name."""
    figure, axes = _figure(len(lines))
    for place, (name, points) in zip(axes, lines.items(), strict=True):
        x = [point.offered_per_s.median for point in points]
        for percent in PERCENTS:
            y = [point.latency_s[percent].median * 1e3 for point in points]
            place.plot(x, y, marker="o", label=f"p{percent:g}")
        place.set_title(name)
        place.set_yscale("log")
        _label(place, "calls offered a second", "ms from when a call was due")
    figure.savefig(path)


def save_over_time(path: Path, run: Run, title: str) -> None:
    """Rates, latencies and, where the server said, rows of the runs over the time of one run."""
    answered = run.notes.is_answered
    batch_rows = run.notes.batch_rows
    figure, axes = _figure(3 if batch_rows.any() else 2)
    step_s, edges = _steps(run)
    _offered(axes[0], run, edges, label="offered")
    axes[0].plot(*run.goodput_over_time(step_s), label="answered in time")
    axes[0].set_title(title)
    _label(axes[0], "seconds", "calls a second")
    axes[0].set_ylim(bottom=0)
    _percentiles(axes[1], run.notes.due_s[answered], run.notes.latency_s[answered] * 1e3, edges)
    axes[1].set_yscale("log")
    _label(axes[1], "seconds, when due", "ms from when a call was due")
    if len(axes) > 2:  # noqa: PLR2004 - the third picture
        _batch_rows(axes[2], run, edges)
    figure.savefig(path)


def save_batch_sizes(path: Path, runs: Mapping[str, Run]) -> None:
    """Rows of the server's runs over time beside the calls offered, one picture for each name."""
    figure, axes = _figure(len(runs))
    for place, (name, run) in zip(axes, runs.items(), strict=True):
        _, edges = _steps(run)
        beside = place.twinx()
        _offered(beside, run, edges, label="_")  # matplotlib's way to leave it out: the axis says it
        beside.set_ylabel("calls offered a second (grey)")
        beside.set_ylim(bottom=0)
        place.set_title(name)
        _batch_rows(place, run, edges)
        place.legend(loc="upper left")  # what climbs leaves room there
    figure.savefig(path)


def _steps(run: Run) -> tuple[float, Floats]:
    """Seconds of a step of a picture over time, and where steps begin and end."""
    step_s = max(run.end_s / _STEPS, 1e-3)
    return step_s, run.steps(step_s)


def _offered(axes: Axes, run: Run, edges: Floats, *, label: str) -> None:
    due, _ = np.histogram(run.notes.due_s, edges)
    axes.plot((edges[:-1] + edges[1:]) / 2, due / np.diff(edges), "--", color="grey", label=label)


def _batch_rows(axes: Axes, run: Run, edges: Floats) -> None:
    rows = run.notes.batch_rows
    said = rows > 0
    _percentiles(axes, run.notes.ended_s[said], rows[said].astype(np.float64), edges)
    axes.set_ylim(bottom=0)
    _label(axes, "seconds", "rows of a run, seen by its calls")


def _percentiles(axes: Axes, at_s: Floats, values: Floats, edges: Floats) -> None:
    """The median and the 99th percentile of each step."""
    steps = np.digitize(at_s, edges) - 1
    found = [values[steps == step] for step in range(len(edges) - 1)]
    middle = (edges[:-1] + edges[1:]) / 2
    for percent in (50, 99):
        values_at = [np.percentile(each, percent) if len(each) else np.nan for each in found]
        axes.plot(middle, values_at, marker=".", label=f"p{percent}")  # a step between two empty ones is no line


def _figure(panels: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8, 4.5 * panels), dpi=120, layout="constrained")
    return figure, [figure.add_subplot(panels, 1, number) for number in range(1, panels + 1)]


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
