"""Counts what became of the calls that each arm of a split got by weight, for the judge of a rollout."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Final, Self

from serinus.core.traffic import Observation, TrafficSplit
from serinus.core.windows import ArmWindow
from serinus.telemetry.histogram import Histogram

_MOST_KEYS: Final = 4096  # 32 KiB of hashes; so many callers within a second are no burst of one


@dataclasses.dataclass(frozen=True, slots=True)
class RouteWindow:
    """What the routing of one model has counted in the present segment of its rollout.

    Attributes:
        rollout: Its id.
        segment: Of the counts.
        arms: By number of the version.
        tripped: Numbers of the versions that the server's own breaker has taken out.
    """

    rollout: str
    segment: int
    arms: Mapping[int, ArmWindow]
    tripped: frozenset[int]


class OncePerSecond:
    """Lets each key pass once a second, because one caller who repeats a call is one trial, failing or not."""

    __slots__ = ("_second", "_seen")

    def __init__(self) -> None:
        self._second = -math.inf
        self._seen: set[int] = set()

    def passes(self, key: str, now: float) -> bool:
        """Whether `key` has not passed in the second of `now`; "" is nobody's and always passes."""
        if not key:
            return True
        if now // 1 != self._second:
            self._second = now // 1
            self._seen.clear()
        # Two keys share a hash once in 2^64 pairs; the texts themselves could take a megabyte.
        mark = hash(key)
        if mark in self._seen:
            return False
        if len(self._seen) < _MOST_KEYS:
            self._seen.add(mark)
        return True


class ArmCounts:
    """Counts of one arm in one segment.

    Attributes:
        to_skip: Calls that are still not counted, because the version warms up.
        run: Trials that have failed since the last good one, whatever segment they were in.
    """

    __slots__ = (
        "_errors",
        "_exposures",
        "_invalid",
        "_latency",
        "_once",
        "_slow",
        "_slow_s",
        "_trials",
        "run",
        "to_skip",
    )

    def __init__(self, *, slow_s: float, to_skip: int, run: int = 0) -> None:
        self.to_skip = to_skip
        self.run = run
        self._slow_s = slow_s
        self._exposures = self._trials = self._errors = self._slow = self._invalid = 0
        self._latency = Histogram()
        self._once = OncePerSecond()

    def is_trial(self, key: str, now: float) -> bool:
        """Whether a call of `key` that begins now is judged: decided before anybody knows how it ends."""
        return self._once.passes(key, now)

    def answered(self, seconds: float, *, is_trial: bool) -> None:
        """A call was answered well, `seconds` after it was asked."""
        if is_trial:
            self.run = 0
        if self._is_counted(seconds, is_trial=is_trial):
            self._latency.observe(seconds)

    def answered_badly(self, seconds: float, *, is_trial: bool) -> None:
        """A call was answered with what cannot be meant."""
        # Also while it warms up: a version that never answers well would be taken out before it was warm.
        self.run += is_trial
        if self._is_counted(seconds, is_trial=is_trial):
            self._latency.observe(seconds)
            self._invalid += is_trial

    def failed(self, seconds: float, *, is_trial: bool) -> None:
        """The version failed a call."""
        self.run += is_trial  # as above
        if self._is_counted(seconds, is_trial=is_trial):
            self._errors += is_trial

    def _is_counted(self, seconds: float, *, is_trial: bool) -> bool:
        if self.to_skip:
            self.to_skip -= 1
            return False
        self._exposures += 1
        if is_trial:
            self._trials += 1
            self._slow += seconds > self._slow_s
        return True

    def window(self) -> ArmWindow:
        """What was counted so far."""
        latency = self._latency.counts
        return ArmWindow(
            exposures=self._exposures,
            errors=self._errors,
            slow=self._slow,
            invalid=self._invalid,
            run=self.run,
            latency=tuple(latency) if any(latency) else (),
            trials=self._trials,
        )


class Exposures:
    """Counts of all arms in one segment of a rollout.

    Calls that end after a segment count in the one that they began in, whose counts nobody reads any more.

    Attributes:
        observation: What is counted.
        arms: Counts by number of the version.
    """

    def __init__(self, split: TrafficSplit, observation: Observation, before: Mapping[int, tuple[int, int]]) -> None:
        slow_s = math.inf if observation.slow_s is None else observation.slow_s
        self._before = before
        self.observation = observation
        self.arms: Mapping[int, ArmCounts] = {
            number: ArmCounts(slow_s=slow_s, to_skip=to_skip, run=run)
            for number, (to_skip, run) in (
                (arm.version.number, before.get(arm.version.number, (observation.skip_first, 0))) for arm in split.arms
            )
        }

    @classmethod
    def following(cls, previous: Self | None, split: TrafficSplit) -> Self | None:
        """The counts for `split`: the same as before while the segment lasts, None if nothing is counted."""
        observation = split.observation
        if observation is None:
            return None
        if previous is None or previous.observation.rollout != observation.rollout:
            return cls(split, observation, {})
        if previous.observation.segment == observation.segment:
            return previous
        return cls(split, observation, previous.lasting)

    @property
    def lasting(self) -> Mapping[int, tuple[int, int]]:
        """Calls still to skip, and the run, by number of each version that the rollout gave calls to on this server."""
        return {**self._before, **{number: (counts.to_skip, counts.run) for number, counts in self.arms.items()}}
