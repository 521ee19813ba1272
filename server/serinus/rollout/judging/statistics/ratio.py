"""Whether failures fall on the candidate more often than its share of the calls explains.

The quantity is the ratio of the two failure rates: 1 says that both fail alike. Only failures count. Of `n` failures
in a block of calls of which a share `w` was the candidate's, `x` are the candidate's; a ratio theta says that each of
them was with probability q = theta w / (1 - w + theta w). The likelihood ratio of theta against 1 is

    (q / w)^x ((1 - q) / (1 - w))^(n - x)  =  theta^x / (1 + w (theta - 1))^n

and its product over blocks is a test martingale: under "both fail alike" it reaches 1 / alpha with probability alpha at
most, however often it is looked at (Ville 1939; Robbins 1970). A mean over many theta is one again (Lindon and Malek,
NeurIPS 2022, anytime-valid inference for multinomial count data; Johari et al. 2022, always valid inference).

`w` is the candidate's share of the very calls that the block's failures are among, known when the block ends, and not
the weight of the split: sticky keys of different weight move the share away from it. That keeps the test valid. Given
the calls of both arms and `n`, and if it makes no difference which arm a call met, `x` is hypergeometric; the
expectation of a convex function of it, such as the one above, is at most that under the binomial distribution with the
same mean (Hoeffding 1963, theorem 4), which is 1. A second argument needs no such symmetry: with independent failures
at rates p and theta_0 p, and 1 + u <= exp(u), the expectation of theta's likelihood over theta_0's is at most 1 too,
which makes the upper bound valid.

A block ends as soon as it holds calls of both arms: `ends` looks at calls, never at failures, because a block that
ended when a failure suited it would be biased. What failed while only one arm had calls teaches nothing.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_LOWER: Final = tuple(float(ratio) for ratio in np.geomspace(0.05, 1.0, 16))
"""Ratios of a candidate that is no worse: what speaks for passing."""
_HIGHER: Final = tuple(float(ratio) for ratio in np.geomspace(1.1, 200.0, 40))
"""Ratios of one that is worse: 1.1 needs thousands of failures to be told from 1, 200 needs two."""


def ratios(margin: float) -> Floats:
    """The ratios whose log-likelihoods are kept: those below and at 1, those above, and last 1 + `margin`."""
    return np.array((*_LOWER, *_HIGHER, 1.0 + margin))


def ends(candidate_calls: npt.ArrayLike, baseline_calls: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether a block of so many calls is complete."""
    return np.minimum(candidate_calls, baseline_calls) > 0


def block_step(
    of_ratios: Floats, candidate_failures: npt.ArrayLike, failures: npt.ArrayLike, share: npt.ArrayLike
) -> Floats:
    """What a block adds to the log-likelihood ratio of each ratio against 1.

    Args:
        of_ratios: As `ratios` returns them.
        candidate_failures: Failures of the candidate, a number or an array.
        failures: Of both, of the same shape.
        share: The candidate's share of the calls that they are among, between 0 and 1, likewise.

    Returns:
        An array of that shape and a last axis for the ratios.
    """
    x, n, w = (np.asarray(values, np.float64)[..., None] for values in (candidate_failures, failures, share))
    return np.asarray(x * np.log(of_ratios) - n * np.log1p(w * (of_ratios - 1.0)))


def log_evidence_of_worse(log_likelihoods: Floats) -> Floats:
    """Logarithm of the evidence that the candidate fails more: the mean over the ratios above 1, by the last axis."""
    higher = log_likelihoods[..., len(_LOWER) : len(_LOWER) + len(_HIGHER)]
    return np.asarray(np.logaddexp.reduce(higher, axis=-1) - math.log(len(_HIGHER)))


def upper_bound(log_likelihoods: Sequence[float], margin: float, alpha: float) -> float:
    """The ratio that the candidate's failure rate stays below, with confidence 1 - `alpha` at all times.

    Inverts the same mixture: a ratio is refused when the mean likelihood of all lower ones is 1 / alpha times its own.
    Exact at 1 + `margin`, elsewhere the next ratio of the grid that is refused; infinite while none is.
    """
    of_ratios = ratios(margin)
    order = np.argsort(of_ratios, kind="stable")
    sorted_logs = np.asarray(log_likelihoods, np.float64)[order]
    lower_ones = np.logaddexp.accumulate(sorted_logs)[:-1] - np.log(np.arange(1, len(order)))
    refused = lower_ones - sorted_logs[1:] >= math.log(1.0 / alpha)
    # Where a low ratio is refused all higher ones are too, but for rounding: the last one that is not refused decides.
    kept = np.flatnonzero(~refused)
    first = int(kept[-1]) + 2 if len(kept) else 1
    return float(of_ratios[order][first]) if first < len(order) else math.inf
