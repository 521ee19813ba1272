"""How the judge's numbers are written for a person."""

import math
from collections.abc import Iterable

_BILLION = 1e9
_NOTHING = 0.01  # whoever reads odds wants to know no more than that there is no evidence
_READABLE = 10.0  # below, two digits say more than a rounded number


def percent(share: float) -> str:
    """A share as "1.23 %"."""
    return f"{100 * share:.3g} %"


def whole(count: float) -> str:
    """A number as "7,830"."""
    return f"{count:,.0f}"


def odds(e_value: float) -> str:
    """Evidence as "4,120 : 1"."""
    if e_value >= _BILLION:
        return f"10^{math.floor(math.log10(e_value))} : 1"
    if e_value < _NOTHING:
        return f"less than {_NOTHING:g} : 1"
    return f"{e_value:,.0f} : 1" if e_value >= _READABLE else f"{e_value:.2g} : 1"


def duration(seconds: float) -> str:
    """A time as "120 ms" or "1.5 s"."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def listed(sentences: Iterable[str]) -> str:
    """Several as one."""
    return "; ".join(sentences)
