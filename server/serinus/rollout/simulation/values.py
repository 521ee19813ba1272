"""What is assumed of versions when a plan is played, and what comes of it."""

import dataclasses
from collections.abc import Mapping
from typing import Final

MOST_RUNS: Final = 10_000
"""Of a plan: an outcome of one run in a hundred is known to a quarter of a percent by then."""


@dataclasses.dataclass(frozen=True, slots=True)
class Assumed:
    """What is assumed of a version. All rates are shares of its calls.

    Attributes:
        error_rate: Calls that it fails.
        slow_rate: Calls slower than the limit.
        invalid_rate: Answers that cannot be meant.
        disagreement_rate: Mirrored calls that it answers differently, or fails.
        metric_means: By name of the metric; every call is reported, with the lowest value or the highest.
    """

    error_rate: float = 0.0
    slow_rate: float = 0.0
    invalid_rate: float = 0.0
    disagreement_rate: float = 0.0
    metric_means: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Simulated:
    """What became of a plan that was played.

    Attributes:
        runs: How often.
        outcomes: Share of the runs that ended so, and the ends of its exact 95 % interval (Clopper and Pearson 1934).
        exposed_p50: Calls that the candidates got, in half of the runs at most.
        exposed_p90: In nine of ten runs at most.
        seconds_p50: How long it took, likewise.
        seconds_p90: Likewise.
        failed_by: Share of the failed runs by the check that failed them.
    """

    runs: int
    outcomes: Mapping[str, tuple[float, float, float]]
    exposed_p50: int
    exposed_p90: int
    seconds_p50: float
    seconds_p90: float
    failed_by: Mapping[str, float]
