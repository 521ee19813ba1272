"""How fast something rises, told by looks of which any may be far off."""

from collections.abc import Sequence

import scipy.stats


def rising(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float, float]:
    """Theil-Sen over the last two thirds, because the first warms up: the slope and its 95 % interval."""
    first = len(ys) // 3
    found = scipy.stats.theilslopes(ys[first:], xs[first:], 0.95)
    return float(found.slope), float(found.low_slope), float(found.high_slope)
