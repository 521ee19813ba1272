"""Pictures of runs: what a person would see is in them."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from serinus.bench.calls import ANSWERED, Outcome
from serinus.bench.figures import Figures
from serinus.bench.notes import Notebook
from serinus.bench.plots import save_batch_sizes, save_goodput, save_latencies, save_over_time
from serinus.bench.run import Run

SHED = Outcome("RESOURCE_EXHAUSTED", "QUEUE_FULL")


@pytest.fixture
def run() -> Run:
    """Half of the calls of three seconds are answered, after 10 to 110 ms."""
    notebook = Notebook()
    for number, due in enumerate(np.arange(0, 3, 0.01)):
        outcome = ANSWERED if number % 2 else SHED
        notebook.note(due, due, due + 0.01 + 0.1 * (number % 7) / 7, outcome, 4 if number % 2 else 0)
    return Run(notebook.read(0.0), 0.0, 3.0)


def colours_of(path: Path) -> int:
    """How many there are: of an empty page, one."""
    return len(np.unique(imread(path).reshape(-1, 4), axis=0))


def test_each_picture_is_drawn(run: Run, tmp_path: Path):
    """With curves on it, whose colours differ from those of the axes alone."""
    figures = Figures.of([run])
    save_goodput(tmp_path / "goodput.png", {"frames": [figures, figures]}, capacity_per_s=60)
    save_latencies(tmp_path / "latency.png", {"frames": [figures], "unary": [figures]})
    save_over_time(tmp_path / "time.png", run, "a run")
    save_batch_sizes(tmp_path / "rows.png", {"quick": run, "slow": run})
    assert {path.name for path in tmp_path.iterdir()} == {"goodput.png", "latency.png", "time.png", "rows.png"}
    assert all(colours_of(path) > 50 for path in tmp_path.iterdir())
