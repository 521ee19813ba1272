"""How many failures in a row are too many to be chance."""

import math
from typing import Final

CHANCES: Final = 1e5
"""Calls of a candidate in a rollout, roughly: each may begin a run."""
_SURPRISE: Final = 0.01  # what stable's failure rate may be above what was measured: one in a hundred


def run_limit(alpha: float, baseline_rate: float) -> int:
    """So many failures of the candidate in a row have probability `alpha` at most if it fails like stable.

    A run of k failures begins at a given call with probability p^k; by Boole's inequality one of `CHANCES` calls begins
    such a run with probability `CHANCES` p^k at most.

    Args:
        alpha: Error probability of the rule.
        baseline_rate: Stable's failure rate of late.
    """
    rate = min(baseline_rate + _SURPRISE, 1.0 - _SURPRISE)
    return max(2, math.ceil(math.log(alpha / CHANCES) / math.log(rate)))
