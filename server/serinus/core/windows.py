"""What one server has counted about the arms of a split: the words that `serving` counts in and `rollout` judges by.

All counts are cumulative since the segment began on that server, so that one that is read twice does no harm.
"""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class ArmWindow:
    """What became of the calls that an arm got by weight.

    Calls that were pinned or sent by a rule are not among them, nor those that their callers spoiled or cancelled.

    Attributes:
        exposures: Calls.
        errors: Trials that the version failed.
        slow: Trials that took longer than the limit, whether answered or not.
        invalid: Trials answered with what cannot be meant.
        run: How many trials, those of the warm-up included, have failed (errors and invalid answers) since the last
            good one.
        latency: Calls by time from arrival at the version to its answer, counts by bucket of
            `telemetry.histogram.BOUNDS_S`; () for none.
        trials: Exposures that are judged: all without a key, and the first of each key and second. A caller who calls
            more often counts no more, whether its calls fail or not: failures that were counted once a second, among
            calls that are all counted, would make the arm that has such a caller look better than it is. 0 stands for
            all exposures.
    """

    exposures: int = 0
    errors: int = 0
    slow: int = 0
    invalid: int = 0
    run: int = 0
    latency: tuple[int, ...] = ()
    trials: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class PairWindow:
    """What became of mirrored calls.

    Attributes:
        pairs: Calls that the baseline answered and the mirrored version was asked too.
        disagreements: Of them those whose answers differ, or that the mirrored version failed.
        errors: Of them those that the mirrored version failed.
        dropped: Copies that were never run, because calls had precedence; not among the pairs.
        baseline_s: Seconds that the baseline took for the pairs, summed.
        mirrored_s: Seconds that the mirrored version took for them, summed.
    """

    pairs: int = 0
    disagreements: int = 0
    errors: int = 0
    dropped: int = 0
    baseline_s: float = 0.0
    mirrored_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class MetricWindow:
    """What was reported about a version under one name.

    Attributes:
        count: Values.
        total: Their sum.
    """

    count: int = 0
    total: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class ServerWindow:
    """What one server says of a rollout, once a second.

    Attributes:
        rollout: Its id.
        server: Tells servers apart; another one after each start.
        beat: Raised each time, so that who reads it knows that the server lives.
        segment: Of the counts.
        revision: Of the model, that the server acts by.
        ready: Numbers of the versions that it could serve now.
        failures: Why a version cannot be loaded, by number.
        arms: By number of the version.
        pairs: Of mirrored calls.
        metrics: By name of the metric, then number of the version; since the rollout began, not the segment.
        tripped: Numbers of the versions that the server's own breaker has taken out.
        has_left: The server went away as it should.
    """

    rollout: str
    server: str
    beat: int
    segment: int
    revision: int
    ready: frozenset[int] = frozenset()
    failures: Mapping[int, str] = dataclasses.field(default_factory=dict)
    arms: Mapping[int, ArmWindow] = dataclasses.field(default_factory=dict)
    pairs: PairWindow = PairWindow()
    metrics: Mapping[str, Mapping[int, MetricWindow]] = dataclasses.field(default_factory=dict)
    tripped: frozenset[int] = frozenset()
    has_left: bool = False
