"""When the calls of an open loop are due: pure functions from a random generator to times."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]
"""Seconds after the start, ascending."""

Schedule = Callable[[np.random.Generator], Times]

MOST_CALLS = 2_000_000  # 100 MB of notes; a run that needs more needs another tool


def constant(rate_per_s: float, duration_s: float) -> Schedule:
    """Evenly spaced."""
    calls = _calls(rate_per_s, duration_s)
    return lambda _rng: np.arange(calls) / rate_per_s


def poisson(rate_per_s: float, duration_s: float) -> Schedule:
    """Independent of each other, as the calls of many callers who know nothing of one another are."""
    calls = _calls(rate_per_s, duration_s)
    return lambda rng: np.sort(rng.uniform(0.0, duration_s, rng.poisson(calls)))


def bursts(rate_per_s: float, duration_s: float, *, size: int = 32) -> Schedule:
    """`size` calls at one instant, bursts independent of each other; `rate_per_s` calls a second in all."""
    if size < 1:
        raise ValueError(f"size: expected at least 1, got {size}")
    return lambda rng: np.repeat(poisson(rate_per_s / size, duration_s)(rng), size)


def ramp(first_per_s: float, last_per_s: float, duration_s: float) -> Schedule:
    """Independent of each other, at a rate that moves evenly from the first to the last."""
    _calls(max(first_per_s, last_per_s), duration_s)
    if min(first_per_s, last_per_s) < 0:
        raise ValueError(f"rate: expected no negative one, got {first_per_s} to {last_per_s}")

    def times(rng: np.random.Generator) -> Times:
        steady = poisson(max(first_per_s, last_per_s), duration_s)(rng)
        wanted = first_per_s + (last_per_s - first_per_s) * steady / duration_s
        # Thinning: each call of the steady process stays with the probability that leaves the wanted rate.
        return steady[rng.uniform(0.0, max(first_per_s, last_per_s), len(steady)) < wanted]

    return times


def one_after_another(*parts: tuple[Schedule, float]) -> Schedule:
    """Schedules with the seconds that each is given, such as an overload and the calm after it."""

    def times(rng: np.random.Generator) -> Times:
        found: list[npt.NDArray[Any]] = []
        began_s = 0.0
        for schedule, duration_s in parts:
            found.append(began_s + schedule(rng))
            began_s += duration_s
        return np.concatenate(found)

    return times


def _calls(rate_per_s: float, duration_s: float) -> int:
    for name, value in (("rate", rate_per_s), ("duration", duration_s)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name}: expected more than 0, got {value}")
    if rate_per_s * duration_s > MOST_CALLS:
        raise ValueError(f"rate and duration: expected at most {MOST_CALLS} calls, got {rate_per_s * duration_s:.0f}")
    return max(1, round(rate_per_s * duration_s))
