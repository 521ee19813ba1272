"""What runs cost, learned from made-up curves."""

import itertools
import random
from collections.abc import Callable

import pytest

from serinus.runtime.costs.by_rows import ABSENT, SOON, STALE, CostModel

Curve = Callable[[int], float]


def tabular(rows: int) -> float:
    """A run costs 23 us whatever it holds, and a little for each row."""
    return 22e-6 + 1e-6 * rows


def linear(rows: int) -> float:
    """Rows cost the same, alone or together."""
    return 15e-3 * rows


def worse_together(rows: int) -> float:
    """Text recognition: from 36 ms a row at first to 50 ms in large runs."""
    return rows * (36e-3 if rows <= 1 else 34e-3 if rows <= 2 else 50e-3)


def learn(curve: Curve, *, limit: int, runs: int = 200, noise: float = 0.0) -> CostModel:
    """A server under full load: each run holds as many rows as the model says is best."""
    cost, rng = CostModel(), random.Random(1)
    for rows in (1, 1, 2):
        cost.observe(rows, curve(rows))
    for _ in range(runs):
        rows = cost.best_rows(limit)
        cost.observe(rows, curve(rows) * (1 + noise * rng.random()))
    return cost


@pytest.mark.parametrize(
    ("curve", "limit", "expected"),
    [
        (tabular, 256, 256),
        (tabular, 48, 48),
        (tabular, 1, 1),
        (linear, 32, 1),
        (worse_together, 32, 2),
    ],
)
def test_the_best_rows_follow_the_curve(curve, limit, expected):
    """Joining goes as far as rows per second grow by more than 5 %, which is 5.9 % for the second row of the last."""
    assert learn(curve, limit=limit).best_rows(limit) == expected


def test_noise_does_not_lead_astray():
    """With 20 % of noise a model that gains nothing is left at few rows, and one that gains at many."""
    assert learn(worse_together, limit=32, noise=0.2).best_rows(32) <= 2
    assert learn(tabular, limit=256, noise=0.2).best_rows(256) >= 128


def test_nothing_known_predicts_nothing():
    """Unknown is 0, and the first doubling may be tried."""
    cost = CostModel()
    assert (cost.predict_s(1), cost.predict_s(100), cost.best_rows(32)) == (0.0, 0.0, 2)


def test_known_rows_are_predicted_as_seen():
    """A run like those before costs what they cost."""
    cost = CostModel()
    cost.observe(8, 0.25)
    assert cost.predict_s(8) == 0.25


def test_between_known_rows_lies_a_line():
    """1 row 1 s, 5 rows 3 s: 3 rows 2 s, also when the middle bucket is unknown."""
    cost = CostModel()
    cost.observe(1, 1.0)
    cost.observe(5, 3.0)
    assert [cost.predict_s(rows) for rows in (1, 2, 3, 4, 5)] == [1.0, 1.5, 2.0, 2.5, 3.0]


def test_beyond_known_rows_costs_are_proportional():
    """4 rows 2 s: 16 rows 8 s, 1 row half a second, no rows nothing."""
    cost = CostModel()
    cost.observe(4, 2.0)
    assert [cost.predict_s(rows) for rows in (0, 1, 3, 16)] == [0.0, 0.5, 1.5, 8.0]


def test_one_slow_run_changes_nothing():
    """A run that the machine held up is not the model's cost."""
    cost = learn(linear, limit=1)
    cost.observe(1, 10.0)
    assert cost.predict_s(1) == linear(1)


def test_a_model_that_became_slow_is_believed_at_the_second_run():
    """Two slow runs in a row are no accident; the less slow of them counts."""
    cost = learn(linear, limit=1)
    seen = []
    for seconds in (2.0, 1.0, 1.0):
        cost.observe(1, seconds)
        seen.append(cost.predict_s(1))
    assert seen == pytest.approx([0.015, 1.0, 1.0])


def test_what_slows_one_size_is_expected_of_all():
    """The machine has become ten times as slow: no size is tried only because it was measured before that."""
    cost = learn(linear, limit=4, runs=100)
    chosen = []
    for _ in range(40):
        chosen.append(cost.best_rows(4))
        cost.observe(chosen[-1], 10 * linear(chosen[-1]))
    assert chosen.count(1) > 30
    assert [cost.predict_s(rows) for rows in (1, 2)] == pytest.approx([10 * linear(1), 10 * linear(2)])


def test_a_slow_run_of_a_size_that_is_seldom_seen_says_nothing_about_the_others():
    """It may be the size that has changed, or chance."""
    cost = learn(linear, limit=1)
    for seconds in (1.0, 10.0, 10.0):
        for _ in range(ABSENT):
            cost.observe(1, linear(1))
        cost.observe(64, seconds)
    assert cost.predict_s(1) == pytest.approx(linear(1), rel=1e-3)


def test_a_cold_first_run_is_forgotten_at_once():
    """The lowest of the first runs counts."""
    cost = CostModel()
    for seconds in (3e-5, 1e-5, 1.2e-5):
        cost.observe(1, seconds)
    assert cost.predict_s(1) == pytest.approx(1.1e-5)


def test_a_loss_is_tried_again_soon_and_then_ever_more_seldom():
    """It may have been chance, or the machine's doing on that day; each trial is one run."""
    cost = learn(worse_together, limit=32, runs=20)
    trials = []
    for run in range(3 * STALE):
        rows = cost.best_rows(32)
        if rows == 4:
            trials.append(run)
        cost.observe(rows, worse_together(rows))
    gaps = [later - earlier for earlier, later in itertools.pairwise(trials)]
    assert trials[0] < 2 * SOON
    assert gaps == sorted(gaps)
    assert gaps[-1] >= STALE
    assert len(trials) <= 8


def test_what_became_better_is_found_again():
    """Where large runs lost by chance, they are what is best later."""
    cost = learn(linear, limit=256, runs=300)
    assert cost.best_rows(256) == 1
    for _ in range(2 * STALE):
        rows = cost.best_rows(256)
        cost.observe(rows, 15e-3 + 1e-6 * rows)
    assert cost.best_rows(256) == 256


def test_calls_of_several_rows_are_joined():
    """No run is ever as small as the sizes from which the search begins."""
    cost = CostModel()
    for _ in range(40):
        rows = max(1, cost.best_rows(256) // 3) * 3
        cost.observe(rows, tabular(rows))
    assert cost.best_rows(256) >= 96


def test_fewer_rows_never_count_for_slower():
    """What was measured of one row was disturbed; it could have been filled up to two."""
    cost = CostModel()
    for rows, seconds in ((1, 3.0), (2, 2.0), (8, 5.0)):
        cost.observe(rows, seconds)
    assert [cost.predict_s(rows) for rows in (1, 2, 8)] == [2.0, 2.0, 5.0]


def test_a_clock_that_stands_still_is_survived():
    """Coarse clocks say that quick runs took no time."""
    cost = CostModel()
    for _ in range(5):
        cost.observe(1, 0.0)
    cost.observe(1, 1.0)
    cost.observe(1, 1.0)
    assert 0.0 < cost.predict_s(1) <= 1.0


def test_it_reads_as_its_curve():
    """The representation lists what is known."""
    cost = CostModel()
    cost.observe(1, 0.5)
    cost.observe(8, 1.0)
    assert repr(cost) == "<CostModel [1 rows 0.5 s, 8 rows 1 s]>"
