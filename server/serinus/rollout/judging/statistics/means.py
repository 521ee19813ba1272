"""Bounds of a mean of values in [0, 1] that hold at all times, from how many values there were and their sum.

For a supposed mean m and another one p, the product over all values y of (p / m)^y ((1 - p) / (1 - m))^(1 - y) is a
test supermartingale: each factor is convex in y, so that it is largest in expectation for values that are 0 or 1,
where the expectation is 1 (Hoeffding 1963; the sub-Bernoulli case of Howard, Ramdas, McAuliffe and Sekhon, Annals of
Statistics 2021). Mixing it over p with a beta density (Robbins 1970) leaves it one, and by Ville's inequality it
reaches 1 / alpha with probability alpha at most if the mean is m. The density is Beta(1/2, 1/2) cut off at m: only
means on the side that is asked about count, which makes the bound narrower than an interval would be.

Values need not be alike or independent: the mean may move, if only each value's expectation, given what came before, is
at most (or at least) m.
"""

import math
from collections.abc import Callable
from typing import Final

from serinus.rollout.judging.statistics.special import special

_HALF: Final = 0.5  # Jeffreys' density: a rate near 0 costs little more than one near 1/2
_LOG_DENSITY: Final = math.log(math.pi)  # of the beta function at 1/2, 1/2
_PRECISION: Final = 1e-5  # of the odds of a bound: nobody reads more digits
_EDGE: Final = 1e-12  # as near as bounds come to 0 and 1, where logarithms end


def log_evidence_above(count: float, total: float, mean: float) -> float:
    """Logarithm of the evidence that the mean of `count` values with sum `total` lies above `mean`."""
    after = float(special().betaincc(total + _HALF, count - total + _HALF, mean))
    return _log_evidence(count, total, mean, after, 1.0 - _mass_below(mean))


def log_evidence_below(count: float, total: float, mean: float) -> float:
    """Logarithm of the evidence that it lies below."""
    after = float(special().betainc(total + _HALF, count - total + _HALF, mean))
    return _log_evidence(count, total, mean, after, _mass_below(mean))


def upper_bound(count: float, total: float, alpha: float) -> float:
    """What the mean stays below with confidence 1 - `alpha`, at all times; 1.0 without values."""
    if count <= 0 or total >= count:
        return 1.0
    limit = math.log(1.0 / alpha)
    return _first_refused(lambda mean: log_evidence_below(count, total, mean) >= limit, total / count, 1.0)


def lower_bound(count: float, total: float, alpha: float) -> float:
    """What the mean stays above with confidence 1 - `alpha`, at all times; 0.0 without values."""
    if count <= 0 or total <= 0:
        return 0.0
    limit = math.log(1.0 / alpha)
    return _first_refused(lambda mean: log_evidence_above(count, total, mean) >= limit, total / count, 0.0)


def _mass_below(mean: float) -> float:
    """How much of Beta(1/2, 1/2), which is the arcsine distribution, lies below a mean."""
    return 2.0 / math.pi * math.asin(math.sqrt(mean))


def _log_evidence(count: float, total: float, mean: float, mass_after: float, mass_before: float) -> float:
    if mass_after <= 0.0:
        return -math.inf
    mixture = (
        float(special().betaln(total + _HALF, count - total + _HALF))
        - _LOG_DENSITY
        + math.log(mass_after / mass_before)
    )
    return mixture - total * math.log(mean) - (count - total) * math.log1p(-mean)


def _first_refused(is_refused: Callable[[float], bool], seen: float, end: float) -> float:
    """The mean nearest to `seen`, on the way to `end`, that is refused; `end` if none is within what can be told."""
    kept, refused = _log_odds(seen), _log_odds(end)
    if not is_refused(_mean(refused)):
        return end
    # Halved in odds, where rates near 0 and near 1 are told as precisely as others: 23 steps at most.
    while abs(refused - kept) > _PRECISION:
        middle = (kept + refused) / 2
        if is_refused(_mean(middle)):
            refused = middle
        else:
            kept = middle
    return _mean(refused)


def _log_odds(mean: float) -> float:
    inside = min(max(mean, _EDGE), 1.0 - _EDGE)
    return math.log(inside / (1.0 - inside))


def _mean(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds))
