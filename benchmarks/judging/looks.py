"""Calls as they are counted between two looks, for many rollouts at once, in which both versions fail alike or not."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What was counted since the look before, an array over rollouts each.

    Attributes:
        candidate: Calls that the candidate is judged by.
        baseline: Likewise.
        candidate_failures: Of the candidate's.
        baseline_failures: Of stable's.
    """

    candidate: Counts
    baseline: Counts
    candidate_failures: Counts
    baseline_failures: Counts


def single_calls(
    runs: int, calls: int, rng: np.random.Generator, *, weight: float, candidate: float, baseline: float
) -> Iterator[Look]:
    """A look after each call; each fails by itself, with its version's rate."""
    for _ in range(calls):
        is_candidate = rng.random(runs) < weight
        fails = rng.random(runs) < np.where(is_candidate, candidate, baseline)
        yield _of_single(is_candidate, fails)


def bursts(runs: int, calls: int, rng: np.random.Generator, *, weights: tuple[float, ...]) -> Iterator[Look]:
    """A look after each call; now and then whatever both versions stand on fails six calls in ten for a while.

    The weight goes through `weights` in equal parts of the calls.
    """
    is_bad = np.zeros(runs, bool)
    for call in range(calls):
        weight = weights[call * len(weights) // calls]
        # On average 40 calls in every thousand.
        is_bad = np.where(is_bad, rng.random(runs) > 1 / 40, rng.random(runs) < 1 / 1000)
        yield _of_single(rng.random(runs) < weight, rng.random(runs) < np.where(is_bad, 0.6, 0.001))


def windows(
    runs: int, looks: int, rng: np.random.Generator, *, calls: float, weight: float, candidate: float, baseline: float
) -> Iterator[Look]:
    """A look after about so many calls."""
    for _ in range(looks):
        of_candidate, of_baseline = rng.poisson(calls * weight, runs), rng.poisson(calls * (1 - weight), runs)
        yield Look(
            of_candidate, of_baseline, rng.binomial(of_candidate, candidate), rng.binomial(of_baseline, baseline)
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Callers:
    """Sticky callers, each with a key of its own.

    Attributes:
        rates: Calls a second of each.
        is_candidate: Whose calls the candidate gets, [rollouts, callers].
    """

    rates: npt.NDArray[np.float64]
    is_candidate: npt.NDArray[np.bool_]


def zipf_callers(
    runs: int, rng: np.random.Generator, *, callers: int, rate: float, weight: float, heavy: str = ""
) -> Callers:
    """Callers of whom the k-th calls 1/k as often as the first.

    Args:
        runs: Rollouts.
        rng: Draws who is whose.
        callers: How many.
        rate: Calls of all a second.
        weight: Of the candidate.
        heavy: "candidate" or "baseline" adds a caller with 30 % of all calls who belongs to that version.
    """
    rates = 1.0 / np.arange(1, callers + 1)
    belongs = rng.random((runs, callers)) < weight
    if heavy:
        rates = np.append(rates, rates.sum() * 0.3 / 0.7)
        belongs = np.column_stack([belongs, np.full(runs, heavy == "candidate")])
    return Callers(rates / rates.sum() * rate, belongs)


def sticky_trials(callers: Callers, seconds: int, rng: np.random.Generator, *, failing: float) -> Iterator[Look]:
    """A look each second; of each caller the first call of the second is judged. All calls fail with one rate."""
    calls_at_all = -np.expm1(-callers.rates)
    for _ in range(seconds):
        judged = rng.random(callers.is_candidate.shape) < calls_at_all
        yield _of_callers(callers, judged, judged & (rng.random(judged.shape) < failing))


def sticky_calls(callers: Callers, seconds: int, rng: np.random.Generator, *, failing: float) -> Iterator[Look]:
    """The same if all calls are counted, and of each caller one failure a second: what must not be done."""
    for _ in range(seconds):
        calls = rng.poisson(callers.rates, callers.is_candidate.shape)
        yield _of_callers(callers, calls, rng.random(calls.shape) < -np.expm1(calls * np.log1p(-failing)))


def _of_callers(callers: Callers, calls: npt.NDArray[np.generic], fails: npt.NDArray[np.bool_]) -> Look:
    def total(values: npt.NDArray[np.generic], which: npt.NDArray[np.bool_]) -> Counts:
        return np.asarray(np.where(which, values, 0).sum(axis=1), np.int64)

    mine, others = callers.is_candidate, ~callers.is_candidate
    return Look(total(calls, mine), total(calls, others), total(fails, mine), total(fails, others))


def _of_single(is_candidate: npt.NDArray[np.bool_], fails: npt.NDArray[np.bool_]) -> Look:
    one, other = is_candidate.astype(np.int64), (~is_candidate).astype(np.int64)
    return Look(one, other, one * fails, other * fails)
