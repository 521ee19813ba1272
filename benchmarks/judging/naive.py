"""Rules that look sensible and are not: what others do, for comparison."""

import numpy as np
import numpy.typing as npt

_LOOKS = 100
_Z = 1.96  # two-sided, 5 %: the usual one


def ratio_alarms(runs: int, rng: np.random.Generator, *, weight: float, failing: float, window: int = 100) -> int:
    """In how many healthy rollouts the candidate's error rate is ever above twice stable's in a window.

    Args:
        runs: Rollouts.
        rng: Draws.
        weight: Of the candidate.
        failing: Error rate of both.
        window: Calls of the candidate in each of a hundred windows.
    """
    others = round(window * (1 - weight) / weight)
    mine = rng.binomial(window, failing, (runs, _LOOKS)) / window
    stables = rng.binomial(others, failing, (runs, _LOOKS)) / others
    return int((mine > 2 * stables).any(axis=1).sum())


def z_test_alarms(runs: int, rng: np.random.Generator, *, weight: float, failing: float, window: int = 100) -> int:
    """In how many healthy rollouts a z-test at 5 % on all calls so far ever finds a difference in a hundred looks."""
    others = round(window * (1 - weight) / weight)
    mine = rng.binomial(window, failing, (runs, _LOOKS)).cumsum(axis=1)
    stables = rng.binomial(others, failing, (runs, _LOOKS)).cumsum(axis=1)
    looks = np.arange(1, _LOOKS + 1)
    z = _z(mine, looks * window, stables, looks * others)
    return int((np.abs(z) > _Z).any(axis=1).sum())


def _z(
    mine: npt.NDArray[np.int64],
    calls: npt.NDArray[np.int64],
    stables: npt.NDArray[np.int64],
    others: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    pooled = (mine + stables) / (calls + others)
    error = np.sqrt(np.maximum(pooled * (1 - pooled) * (1 / calls + 1 / others), 1e-12))
    return np.asarray((mine / calls - stables / others) / error)
