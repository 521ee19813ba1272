"""The test of failures against stable, and its inversion."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom

from serinus.rollout.judging.statistics import ratio

RATIOS = ratio.ratios(0.5)


def likelihoods(*blocks: tuple[int, int, float]) -> np.ndarray:
    """Log-likelihoods after blocks of (failures of the candidate, of both, share)."""
    return sum((ratio.block_step(RATIOS, *block) for block in blocks), np.zeros(len(RATIOS)))


def test_the_grid_holds_both_sides_and_the_margin():
    """Forty ratios from 1.1 to 200 speak against the candidate, sixteen up to 1 for it."""
    higher = RATIOS[16:56]
    assert (len(RATIOS), RATIOS[15], RATIOS[-1]) == (57, 1.0, 1.5)
    assert (higher[0], higher[-1]) == (pytest.approx(1.1), pytest.approx(200))


@pytest.mark.parametrize(("x", "n", "w"), [(0, 0, 0.05), (1, 1, 0.05), (3, 40, 0.1), (0, 7, 0.5), (9, 9, 0.99)])
def test_a_block_weighs_as_a_likelihood_ratio(x, n, w):
    """What a block adds is the logarithm of a ratio of binomial probabilities."""
    q = RATIOS * w / (1 - w + RATIOS * w)
    assert ratio.block_step(RATIOS, x, n, w) == pytest.approx(binom.logpmf(x, n, q) - binom.logpmf(x, n, w), abs=1e-9)


def test_many_rollouts_are_weighed_at_once():
    """An array of blocks gives the steps of each."""
    together = ratio.block_step(RATIOS, [1, 0], [2, 3], [0.05, 0.5])
    assert np.array_equal(together, [ratio.block_step(RATIOS, 1, 2, 0.05), ratio.block_step(RATIOS, 0, 3, 0.5)])


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_nothing_is_gained_in_expectation_by_a_candidate_that_is_no_worse(candidate, baseline, data):
    """Given the calls of both and the failures, the expected evidence of a block is at most 1."""
    failures = data.draw(st.integers(0, candidate + baseline))
    possible = np.arange(max(0, failures - baseline), min(candidate, failures) + 1)
    share = candidate / (candidate + baseline)
    found = np.exp(ratio.log_evidence_of_worse(ratio.block_step(RATIOS, possible, failures, share)))
    chances = hypergeom.pmf(possible, candidate + baseline, candidate, failures)
    assert float(np.sum(chances * found)) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("candidate", "baseline", "ends"), [(0, 0, False), (5, 0, False), (0, 5, False), (1, 1, True), (1, 99, True)]
)
def test_a_block_ends_when_both_arms_have_calls(candidate, baseline, ends):
    """Calls of one arm alone teach nothing."""
    assert bool(ratio.ends(candidate, baseline)) is ends


def test_two_failures_of_a_rare_candidate_are_evidence_of_a_hundred():
    """At 5 % of the calls, the first two failures suffice for alpha 1 %."""
    assert math.exp(ratio.log_evidence_of_worse(likelihoods((2, 2, 0.05)))) == pytest.approx(118.87, abs=0.01)


def test_evidence_remembers_across_weights():
    """What was learned at one weight counts at another."""
    first, second = (1, 1, 0.05), (8, 10, 0.5)
    together = ratio.log_evidence_of_worse(likelihoods(first, second))
    assert together > max(ratio.log_evidence_of_worse(likelihoods(block)) for block in (first, second))


def test_the_bound_is_infinite_before_anything_failed():
    """No failure, no comparison."""
    assert ratio.upper_bound(tuple(likelihoods()), 0.5, 0.01) == math.inf


def test_the_bound_comes_down_with_failures_that_are_shared_out_fairly():
    """At half of the calls, some hundreds of failures show a ratio of at most 1.5."""
    bounds = [ratio.upper_bound(tuple(likelihoods((n // 2, n, 0.5))), 0.5, 0.004) for n in (20, 100, 500, 5000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > 2
    assert bounds[2] <= 1.5
    assert 1.0 < bounds[-1] < 1.3


def test_the_bound_of_a_worse_candidate_stays_above_what_it_is():
    """Of a hundred candidates that fail twice as often, hardly one is ever shown to be below twice."""
    rng = np.random.default_rng(5)
    logs = np.zeros((100, len(RATIOS)))
    was_wrong = np.zeros(100, bool)
    for _ in range(100):
        mine, others = rng.binomial(50, 0.2, 100), rng.binomial(50, 0.1, 100)
        logs += ratio.block_step(RATIOS, mine, mine + others, np.full(100, 0.5))
        was_wrong |= [ratio.upper_bound(tuple(each), 0.5, 0.05) < 2.0 for each in logs]
    assert was_wrong.sum() <= 5


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20), st.floats(0.01, 0.99)), min_size=1, max_size=8))
def test_the_order_of_blocks_does_not_matter(blocks):
    """Blocks are added up."""
    blocks = [(x, x + more, w) for x, more, w in blocks]
    forth, back = likelihoods(*blocks), likelihoods(*reversed(blocks))
    assert forth == pytest.approx(back, abs=1e-9)


def test_evidence_grows_with_each_failure_of_the_candidate():
    """One more failure of the candidate among as many never speaks for it."""
    found = [float(ratio.log_evidence_of_worse(likelihoods((x, 20, 0.3)))) for x in range(21)]
    assert all(less < more for less, more in itertools.pairwise(found))
