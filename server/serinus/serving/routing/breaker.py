"""When a version that fails repeatedly is taken out, and when it may try again; pure."""

import dataclasses
import enum
from typing import Final, assert_never

_GOOD_PROBES: Final = 3  # a version that answers every second call would pass a single probe half the time
_MOST_OPEN: Final = 64  # times the shortest: five minutes at 5 s, so that somebody who repairs it need not wait long
_CALM: Final = 10  # times the last open time without trouble: what fails sooner flaps, and stays out longer each time


class BreakerState(enum.StrEnum):
    """CLOSED → OPEN → HALF_OPEN → CLOSED, or back to OPEN.

    CLOSED: calls go through. OPEN: none does. HALF_OPEN: one at a time does, as a probe.
    """

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclasses.dataclass(frozen=True, slots=True)
class BreakerLimits:
    """What operators say about breakers.

    Attributes:
        failures: So many in a row open one.
        open_s: For how long at first, in seconds; doubled each time that the version fails again soon.
    """

    failures: int
    open_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Breaker:
    """What one server remembers of a version's failures. All times are seconds of one clock.

    Each call carries the `turn` in which it was let through, and its end counts in that turn alone: what was asked
    before the breaker opened says nothing about the version's recovery.

    Attributes:
        limits: What opens it.
        state: Where it stands.
        failures: In a row.
        since: When it came to stand there.
        open_s: How long it is open, or was the last time; 0.0 if it never was.
        probes: Good ones since it is half open.
        probe_at: When the probe under way was let through; None without one.
        turn: Raised with each change of `state`.
    """

    limits: BreakerLimits
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    since: float = 0.0
    open_s: float = 0.0
    probes: int = 0
    probe_at: float | None = None
    turn: int = 0

    def retry_in_s(self, now: float) -> float:
        """Seconds until it lets a probe through; 0.0 unless it is open."""
        return max(0.0, self.since + self.open_s - now) if self.state is BreakerState.OPEN else 0.0

    def admits(self, now: float) -> bool:
        """Whether a call may go through."""
        match self.state:
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return now >= self.since + self.open_s
            case BreakerState.HALF_OPEN:
                # A probe that takes longer than the breaker was open must not keep it from closing for ever.
                return self.probe_at is None or now >= self.probe_at + self.open_s
            case _:
                assert_never(self.state)

    def asked(self, now: float) -> "Breaker":
        """A call that `admits` allowed goes through."""
        match self.state:
            case BreakerState.CLOSED:
                return self
            case BreakerState.OPEN:
                return self._moved(BreakerState.HALF_OPEN, now, probe_at=now)
            case BreakerState.HALF_OPEN:
                return dataclasses.replace(self, probe_at=now)
            case _:
                assert_never(self.state)

    def answered(self, now: float, turn: int) -> "Breaker":
        """A call of `turn` was answered well."""
        if turn != self.turn:
            return self
        if self.state is BreakerState.CLOSED:
            return dataclasses.replace(self, failures=0) if self.failures else self
        if self.probes + 1 < _GOOD_PROBES:
            return dataclasses.replace(self, probes=self.probes + 1, probe_at=None)
        return self._moved(BreakerState.CLOSED, now, failures=0)

    def failed(self, now: float, turn: int) -> "Breaker":
        """The version failed a call of `turn`."""
        if turn != self.turn:
            return self
        failures = self.failures + 1
        if self.state is BreakerState.CLOSED and failures < self.limits.failures:
            return dataclasses.replace(self, failures=failures)
        return self._moved(BreakerState.OPEN, now, failures=failures, open_s=self._next_open_s(now))

    def released(self, turn: int) -> "Breaker":
        """A call of `turn` ended in a way that says nothing about the version."""
        return dataclasses.replace(self, probe_at=None) if turn == self.turn and self.probe_at is not None else self

    def _next_open_s(self, now: float) -> float:
        shortest = self.limits.open_s
        if self.state is BreakerState.CLOSED and now - self.since >= _CALM * self.open_s:
            return shortest
        return min(2 * self.open_s, _MOST_OPEN * shortest)

    def _moved(
        self,
        state: BreakerState,
        now: float,
        *,
        failures: int | None = None,
        open_s: float | None = None,
        probe_at: float | None = None,
    ) -> "Breaker":
        return Breaker(
            limits=self.limits,
            state=state,
            failures=self.failures if failures is None else failures,
            since=now,
            open_s=self.open_s if open_s is None else open_s,
            probe_at=probe_at,
            turn=self.turn + 1,
        )
