"""Bars for shares, for how far something has come, and for evidence."""

import math
from collections.abc import Sequence

from rich.text import Text

from serinus.cli.demo.bars import bar

_TRACK = "·"
_FINE = 1000  # steps of a bar; more than any terminal shows
_SHADES: Sequence[tuple[str, str]] = (("█", "blue"), ("▓", "magenta"), ("▒", "cyan"), ("░", "yellow"))


def gauge(share: float, width: int, style: str = "") -> Text:
    """`share` of a track of `width` characters, at most all of it; NaN is none."""
    filled = bar(round(min(1.0, share) * _FINE), _FINE, width) if share > 0 else ""
    return Text.assemble((filled, style), (_TRACK * (width - len(filled)), "dim"))


def evidence_share(e_value: float, limit: float) -> float:
    """How far evidence has come to its limit, on the scale that it grows on: 0 at 1 : 1, 1 at the limit."""
    if math.isnan(e_value) or not limit > 1 or e_value <= 1:
        return 0.0
    return min(1.0, math.log(e_value) / math.log(limit))


def shade(place: int) -> Text:
    """The sign for the version at a place of the rollout's list: stable is 0."""
    sign, style = _SHADES[place % len(_SHADES)]
    return Text(sign, style=style)


def shares_bar(weights: Sequence[float], width: int) -> Text:
    """One bar of `width` characters, parted as the weights are; any weight above 0 is visible.

    Args:
        weights: Percent, in the order of `shade`.
        width: At least one character for each.
    """
    total = sum(weights)
    text = Text()
    if not total > 0:
        return text
    # One cell for each that has any weight, and the others shared out; what rounding leaves goes to the widest part.
    spare = width - sum(weight > 0 for weight in weights)
    cells = [1 + int(weight / total * spare) if weight > 0 else 0 for weight in weights]
    cells[cells.index(max(cells))] += width - sum(cells)
    for place, count in enumerate(cells):
        part = shade(place)
        text.append(part.plain * count, style=part.style)
    return text
