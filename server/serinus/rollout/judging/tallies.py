"""What is known of arms, pairs and servers, as numbers that are added up."""

import dataclasses
import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from serinus.config.rollout_spec import Guardrails, RateGuardrail
from serinus.core.windows import ArmWindow, MetricWindow, PairWindow

ERRORS: Final = "errors"
LATENCY: Final = "latency"
INVALID: Final = "invalid"
RATES: Final = (ERRORS, LATENCY, INVALID)
"""What can be wrong with a call, by the name of its guardrail; always in this order."""


def rate_guardrails(guardrails: Guardrails) -> tuple[RateGuardrail, ...]:
    """The guardrails of `RATES`, in their order."""
    return guardrails.errors, guardrails.latency, guardrails.invalid


NO_CALLS: Final = ArmWindow()
NO_PAIRS: Final = PairWindow()

FADE_S: Final = 10.0
"""Calls of "late" fade with this time constant: long enough for a rate, short enough to notice a change."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tally:
    """Calls of one arm that one thing can be wrong with.

    Attributes:
        trials: Calls that are judged by it.
        failures: Of them those that it is wrong with.
        looks: Looks at which there were trials.
        rates: Sum over the looks of the share that failed: where failures come in bursts, looks are the better unit.
    """

    trials: int = 0
    failures: int = 0
    looks: int = 0
    rates: float = 0.0

    @property
    def rate(self) -> float | None:
        """Share of the trials that failed; None without any."""
        return self.failures / self.trials if self.trials else None

    def with_look(self, trials: int, failures: int) -> Self:
        """The same after a look that found so many more; the same object for none."""
        if trials <= 0:
            return self
        known = min(failures, trials)
        return dataclasses.replace(
            self,
            trials=self.trials + trials,
            failures=self.failures + known,
            looks=self.looks + 1,
            rates=self.rates + known / trials,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class ArmTotals:
    """What became of an arm's calls.

    Attributes:
        calls: All that it got by weight.
        tallies: In the order of `RATES`.
    """

    calls: int = 0
    tallies: tuple[Tally, ...] = (Tally(), Tally(), Tally())

    def of(self, rate: str) -> Tally:
        """Those that `rate` can be wrong with."""
        return self.tallies[RATES.index(rate)]


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Calls of a candidate and of the baseline on one server that are not weighed yet, because one side has none.

    Attributes:
        candidate: Trials.
        baseline: Trials.
        candidate_failures: In the order of `RATES`.
        failures: Of both, likewise.
    """

    candidate: int = 0
    baseline: int = 0
    candidate_failures: tuple[int, ...] = (0, 0, 0)
    failures: tuple[int, ...] = (0, 0, 0)

    def with_calls(self, candidate: ArmWindow, baseline: ArmWindow) -> Self:
        """The same with the calls of two windows."""
        of_candidate, of_baseline = failures_of(candidate), failures_of(baseline)
        return dataclasses.replace(
            self,
            candidate=self.candidate + trials_of(candidate),
            baseline=self.baseline + trials_of(baseline),
            candidate_failures=tuple(map(operator.add, self.candidate_failures, of_candidate)),
            failures=tuple(map(sum, zip(self.failures, of_candidate, of_baseline, strict=True))),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Late:
    """Calls of an arm on one server of late; older ones count less, by exp(-age / `FADE_S`).

    Attributes:
        since: When the first were counted.
        at: When the last were; they fade from then on.
        calls: How many.
        trials: Of them those that are judged.
        failures: Of these those that failed or were answered with what cannot be meant.
        run: How many have failed since the last good one.
    """

    since: float
    at: float
    calls: float = 0.0
    trials: float = 0.0
    failures: float = 0.0
    run: int = 0

    @property
    def rate(self) -> float:
        """Share of the trials that failed; without any, whether the last calls of a version that warms up did."""
        return self.failures / self.trials if self.trials > 0 else float(self.run > 0)

    def calls_per_second(self, at: float) -> float:
        """How fast they came, as far as can be told at `at`."""
        # The first count covers about the second before it; so does the shortest time that a pace is told for.
        seen_s = max(self.at - self.since, 0.0) + 1.0
        return self.calls * self._kept(at) / (FADE_S * -math.expm1(-seen_s / FADE_S))

    def with_calls(self, more: ArmWindow, at: float) -> Self:
        """The same at `at`, with more calls."""
        return dataclasses.replace(
            self,
            at=max(at, self.at),
            calls=self.calls * self._kept(at) + more.exposures,
            trials=self.trials * self._kept(at) + trials_of(more),
            failures=self.failures * self._kept(at) + more.errors + more.invalid,
            run=more.run,
        )

    def _kept(self, at: float) -> float:
        return math.exp(-max(0.0, at - self.at) / FADE_S)


@dataclasses.dataclass(frozen=True, slots=True)
class Consumed:
    """What was taken from one server, so that nothing is taken twice.

    Attributes:
        segment: Which its counts belong to.
        seen_at: When it was last heard of, to the quarter of an hour.
        arms: Its counts, by number of the version; the highest that it ever reported.
        pairs: Likewise.
        metrics: Likewise, by name and number.
        blocks: Calls to be weighed, by number of the candidate.
        late: By number of the version.
        tripped: Numbers of the versions that its breaker keeps calls from.
    """

    segment: int
    seen_at: float
    arms: Mapping[int, ArmWindow] = dataclasses.field(default_factory=dict)
    pairs: PairWindow = NO_PAIRS
    metrics: Mapping[str, Mapping[int, MetricWindow]] = dataclasses.field(default_factory=dict)
    blocks: Mapping[int, Block] = dataclasses.field(default_factory=dict)
    late: Mapping[int, Late] = dataclasses.field(default_factory=dict)
    tripped: frozenset[int] = frozenset()


def failures_of(window: ArmWindow) -> tuple[int, ...]:
    """Failures in the order of `RATES`."""
    return window.errors, window.slow, window.invalid


def trials_of(window: ArmWindow) -> int:
    """Calls that are judged."""
    return window.trials or window.exposures


def highest(one: ArmWindow, other: ArmWindow) -> ArmWindow:
    """Of each count the higher, because cumulative counts never go back; the run of `other`."""
    merged = _counts(max, one, other)
    return dataclasses.replace(merged, run=other.run, latency=latencies(max, one.latency, other.latency))


def grown(before: ArmWindow, after: ArmWindow) -> ArmWindow:
    """The calls between two cumulative counts, of which `after` is the higher; the run of `after`."""
    more = _counts(operator.sub, after, before)
    return dataclasses.replace(more, run=after.run, latency=latencies(operator.sub, after.latency, before.latency))


def _counts(operation: Callable[[int, int], int], one: ArmWindow, other: ArmWindow) -> ArmWindow:
    return ArmWindow(
        exposures=operation(one.exposures, other.exposures),
        errors=operation(one.errors, other.errors),
        slow=operation(one.slow, other.slow),
        invalid=operation(one.invalid, other.invalid),
        trials=operation(trials_of(one), trials_of(other)),
    )


def latencies(operation: Callable[[int, int], int], one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """Counts of two histograms, bucket by bucket; buckets that one does not have are empty."""
    return tuple(itertools.starmap(operation, itertools.zip_longest(one, other, fillvalue=0)))


def pairs(operation: Callable[[float, float], float], one: PairWindow, other: PairWindow) -> PairWindow:
    """Counts of two windows, one by one."""
    return PairWindow(
        pairs=int(operation(one.pairs, other.pairs)),
        disagreements=int(operation(one.disagreements, other.disagreements)),
        errors=int(operation(one.errors, other.errors)),
        dropped=int(operation(one.dropped, other.dropped)),
        baseline_s=operation(one.baseline_s, other.baseline_s),
        mirrored_s=operation(one.mirrored_s, other.mirrored_s),
    )
