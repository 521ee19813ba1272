"""Writes down what was learned of runs, and takes it over again, as something that may have changed since."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from serinus.runtime.costs.by_rows import BUCKETS
from serinus.runtime.costs.points import KnownCost

VERSION: Final = 1
MOST_POINTS: Final = 1024  # lengths and rows from 1 to 2**16, each with each, and more than any model has
MOST_SECONDS: Final = 1e6
_MOST = 2 ** (BUCKETS - 1)
_POINT_FIELDS = 4


class Learner(Protocol):
    """`CostModel` or `LengthCosts`."""

    def known(self) -> Iterable[KnownCost]:
        """What was measured."""
        ...

    def restore(self, known: KnownCost) -> None:
        """Take over what was learned before."""
        ...


def document_of(costs: Learner) -> dict[str, Any]:
    """What was learned, fit for JSON: {"version": 1, "points": [[rows, length, seconds, runs], ...]}."""
    points = [
        [round(known.rows, 2), round(known.length, 2), float(f"{known.seconds:.4g}"), known.runs]
        for known in costs.known()
        if 0.0 < known.seconds < MOST_SECONDS
    ]
    return {"version": VERSION, "points": points[:MOST_POINTS]}


def costs_from(document: object, costs: Learner) -> int:
    """Let `costs`, which knows nothing yet, take a document over; return how many points it took.

    Each time, half of the runs are forgotten, so that what is never seen again is gone after some starts.

    Raises:
        ValueError: it is none; then nothing was taken over.
    """
    taken = [known for known in _points(document) if known.runs > 0]
    for known in taken:
        costs.restore(known)
    return len(taken)


def _points(document: object) -> list[KnownCost]:
    if not isinstance(document, Mapping) or document.get("version") != VERSION:
        raise ValueError(f"costs: expected a document of version {VERSION}")
    points = document.get("points")
    if not isinstance(points, Sequence) or isinstance(points, str | bytes) or len(points) > MOST_POINTS:
        raise ValueError(f"costs: expected a list of at most {MOST_POINTS} points")
    return [_point(point) for point in points]


def _point(point: object) -> KnownCost:
    if not isinstance(point, Sequence) or isinstance(point, str | bytes) or len(point) != _POINT_FIELDS:
        raise ValueError("costs: expected points of rows, length, seconds and runs")
    rows, length, seconds, runs = point
    if not (_number(rows, 1, _MOST) and _number(length, 1, _MOST) and _number(runs, 0, 1 << 53)):
        raise ValueError(f"costs: expected rows and lengths from 1 to {_MOST}, and runs from 0")
    if not _number(seconds, 0, MOST_SECONDS) or not seconds or not isinstance(runs, int):
        raise ValueError(f"costs: expected seconds above 0 and up to {MOST_SECONDS:g}, and whole runs")
    return KnownCost(float(rows), float(length), float(seconds), runs // 2)


def _number(value: object, least: float, most: float) -> bool:
    # JSON has true and NaN, in Python's reading of it; nothing compares with NaN.
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
