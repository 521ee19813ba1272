"""Draws counts as bars of text."""

import dataclasses
import math
from collections.abc import Sequence

from serinus.cli import units

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_FINEST_S = 1e-6


@dataclasses.dataclass(frozen=True)
class Bar:
    """One line of a histogram."""

    label: str
    count: int
    bar: str


def bar(count: int, most: int, width: int) -> str:
    """A bar of at most `width` characters; anything above none is visible."""
    if count <= 0 or most <= 0:
        return ""
    eighths = max(1, round(count / most * width * 8))
    whole, part = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[part] if part else "")


def latency_bars(bounds_s: Sequence[float], counts: Sequence[int], *, width: int) -> list[Bar]:
    """One bar for each doubling, from the first that has something to the last.

    Args:
        bounds_s: Upper bounds of the buckets in seconds, ascending; the last bucket has none.
        counts: Observations per bucket, one more than bounds.
        width: Characters of the longest bar.
    """
    by_doubling: dict[int, int] = {}
    for index, count in enumerate(counts):
        # The bucket without a bound is drawn one doubling above the last that has one.
        bound_s = bounds_s[index] if index < len(bounds_s) else bounds_s[-1] * 2
        doubling = math.ceil(round(math.log2(bound_s / _FINEST_S), 6))
        by_doubling[doubling] = by_doubling.get(doubling, 0) + count
    used = [doubling for doubling, count in by_doubling.items() if count]
    if not used:
        return []
    most = max(by_doubling.values())
    return [
        Bar(f"≤ {units.seconds(_FINEST_S * 2.0**doubling)}", count, bar(count, most, width))
        for doubling in range(min(used), max(used) + 1)
        for count in (by_doubling.get(doubling, 0),)
    ]
