"""Whatever a run costs, the batch size comes close to the best, and few runs are spent on looking for it."""

import itertools
import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.runtime.costs import CostModel
from serinus.runtime.costs.by_rows import AROUND_S

Curve = Callable[[int], float]

# a + b·rows + c·rows²: an overhead, a price for each row, and a price for being large; all convex.
curves = st.builds(
    lambda overhead, row, bend: lambda rows: overhead * (1 + row * rows + row * bend * rows * rows),
    st.floats(1e-5, 1e-2),
    st.floats(0.01, 10.0),
    st.sampled_from([0.0, 1e-3, 1e-2, 0.1, 1.0]),
)
limits = st.sampled_from([1, 8, 32, 48, 256])
noises = st.sampled_from([0.0, 0.05, 0.15])
seeds = st.integers(0, 2**32)


def best_rate(curve: Curve, limit: int) -> float:
    """Rows per second of the best size, of those that are tried, with what the server does around each run."""
    sizes = [*(1 << power for power in range(9) if 1 << power < limit), limit]
    return max(rows / (curve(rows) + AROUND_S) for rows in sizes)


def under_load(cost: CostModel, curve: Curve, *, limit: int, runs: int, noise: float, rng: random.Random) -> float:
    """A full server: the rows per second that it reaches, noise left out; one run in a hundred is held up."""
    rows_in_all, seconds_in_all = 0, 0.0
    for _ in range(runs):
        rows = cost.best_rows(limit)
        seconds = curve(rows) * (1 + noise * rng.random()) * (10 if rng.random() < 0.01 else 1)
        cost.observe(rows, seconds)
        rows_in_all += rows
        seconds_in_all += curve(rows) + AROUND_S
    return rows_in_all / seconds_in_all


@settings(max_examples=60, deadline=None)
@given(curves, limits, noises, seeds)
def test_it_comes_close_to_the_best_and_stays_there(curve, limit, noise, seed):
    """A doubling that gains less than 5 % is left out, so that 0.9 of the best is what can be had."""
    cost, rng = CostModel(), random.Random(seed)
    under_load(cost, curve, limit=limit, runs=100, noise=noise, rng=rng)
    reached = under_load(cost, curve, limit=limit, runs=400, noise=noise, rng=rng)
    assert reached >= 0.8 * best_rate(curve, limit)


@settings(max_examples=60, deadline=None)
@given(curves, curves, limits, noises, seeds)
def test_it_recovers_when_the_machine_changes(before, after, limit, noise, seed):
    """What was learned on another machine is given up."""
    cost, rng = CostModel(), random.Random(seed)
    under_load(cost, before, limit=limit, runs=400, noise=noise, rng=rng)
    under_load(cost, after, limit=limit, runs=2000, noise=noise, rng=rng)
    reached = under_load(cost, after, limit=limit, runs=400, noise=noise, rng=rng)
    assert reached >= 0.8 * best_rate(after, limit)


@settings(max_examples=60, deadline=None)
@given(curves, st.sampled_from([0.0, 0.03]), seeds)
def test_looking_for_the_best_makes_few_wait(curve, noise, seed):
    """Once it has settled, fewer than one run in a hundred is more than twice as large as usual."""
    cost, rng = CostModel(), random.Random(seed)
    sizes = []
    for run in range(1500):
        rows = cost.best_rows(256)
        if run >= 500:
            sizes.append(rows)
        cost.observe(rows, curve(rows) * (1 + noise * rng.random()))
    usual = sorted(sizes)[len(sizes) // 2]
    assert sum(rows > 2 * usual for rows in sizes) < len(sizes) / 100


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.floats(1e-6, 10.0)), min_size=1, max_size=60))
def test_more_rows_never_cost_less(runs):
    """Whatever was seen, in whatever order."""
    cost = CostModel()
    for rows, seconds in runs:
        cost.observe(rows, seconds)
    predicted = [cost.predict_s(rows) for rows in range(1, 600)]
    assert all(fewer <= more * (1 + 1e-9) for fewer, more in itertools.pairwise(predicted))
    assert min(predicted) > 0.0
