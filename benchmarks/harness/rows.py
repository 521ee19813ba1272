"""The figures of a benchmark: what was measured, what it should be, and whether it is."""

import dataclasses
import enum
from collections.abc import Iterable

from serinus.bench.run import Run
from serinus.bench.spread import Spread


class Verdict(enum.Enum):
    """What a figure says about its aim."""

    FAILED = "failed"
    """It could not be measured: the scenario or the server that it needs broke down."""
    MISSED = "missed"
    VOID = "void"
    """The generator could not keep its schedule: the figure says nothing."""
    MET = "met"
    NONE = ""
    """Nothing is aimed at: the figure stands beside others."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        aim: Number of the aim that it answers for.
        what: What was measured.
        figure: What came out, with its unit.
        aimed_at: What it should be, or "".
        verdict: Whether it is.
        measured: The number, once for each repeat; () where the figure is words.
        why: Why it is void, or could not be measured.
    """

    aim: int
    what: str
    figure: str
    aimed_at: str = ""
    verdict: Verdict = Verdict.NONE
    measured: tuple[float, ...] = ()
    why: str = ""


def at_most(aim: int, what: str, measured: Spread | float, limit: float, unit: str = "", *, void: str = "") -> Row:
    """A figure whose median should not exceed `limit`; `void` says why it counts for nothing."""
    spread = _spread(measured)
    return _row(aim, what, spread, f"<= {_number(limit)}{_of(unit)}", unit, is_met=spread.median <= limit, void=void)


def at_least(aim: int, what: str, measured: Spread | float, limit: float, unit: str = "", *, void: str = "") -> Row:
    """A figure whose median should not fall short of `limit`."""
    spread = _spread(measured)
    return _row(aim, what, spread, f">= {_number(limit)}{_of(unit)}", unit, is_met=spread.median >= limit, void=void)


def beside(aim: int, what: str, measured: Spread | float, unit: str = "") -> Row:
    """A figure that stands beside others, and is aimed at nothing."""
    spread = _spread(measured)
    return Row(aim, what, _figure(spread, unit), measured=spread.values)


def failed(aim: int, what: str, why: str) -> Row:
    """What was to be measured and could not be; a run with such a row has failed."""
    return Row(aim, what, "not measured", verdict=Verdict.FAILED, why=why)


def void_of(runs: Iterable[Run]) -> str:
    """Why the runs say nothing, or ""; one void repeat of several voids them all."""
    return next((run.void for run in runs if run.void), "")


def _row(aim: int, what: str, spread: Spread, aimed_at: str, unit: str, *, is_met: bool, void: str) -> Row:
    verdict = Verdict.VOID if void else Verdict.MET if is_met else Verdict.MISSED
    return Row(aim, what, _figure(spread, unit), aimed_at, verdict, spread.values, void)


def _spread(measured: Spread | float) -> Spread:
    return measured if isinstance(measured, Spread) else Spread((measured,))


def _figure(spread: Spread, unit: str) -> str:
    if len(spread.values) == 1:
        return f"{_number(spread.median)}{_of(unit)}"
    return f"{_number(spread.median)}{_of(unit)} ({_number(spread.low)} to {_number(spread.high)})"


def _number(value: float) -> str:
    """Three digits, and no exponent: 0.0123, 1.25, 12.5, 1250."""
    magnitude = abs(value)
    digits = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2 if magnitude >= 1 or not magnitude else 3
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _of(unit: str) -> str:
    return f" {unit}" if unit else ""
