"""What load a person asked for: the flags of `serinus bench`, checked together."""

import dataclasses
import enum

from serinus.bench import schedules
from serinus.bench.schedules import Schedule
from serinus.bench.transports import Way
from serinus.cli.output import CommandFailed, ExitCode

_BURST = 32
DEFAULT_CALLERS = 16


class Arrivals(enum.Enum):
    """How calls at a rate are spread over time."""

    POISSON = "poisson"
    CONSTANT = "constant"
    BURSTS = "bursts"
    RAMP = "ramp"


@dataclasses.dataclass(frozen=True)
class Order:
    """One load.

    Attributes:
        callers: Each sends its next call when it has the last answer; 0 for calls at a rate.
        rate_per_s: Calls due each second; 0 with callers.
        arrivals: How they are spread.
        duration_s: What is measured, of each repeat.
        warmup_s: What comes before, of each repeat.
        way: How calls travel.
        connections: Calls take turns on so many.
        deadline_s: Of each call; None for no limit.
        rows: Of each call.
        repeats: How often all of it is done.
    """

    callers: int
    rate_per_s: float
    arrivals: Arrivals
    duration_s: float
    warmup_s: float
    way: Way
    connections: int
    deadline_s: float | None
    rows: int
    repeats: int

    def __post_init__(self) -> None:
        if self.rate_per_s and self.callers:
            raise CommandFailed("expected either --callers or --rate", code=ExitCode.USAGE)
        if not self.rate_per_s and self.arrivals is not Arrivals.POISSON:
            raise CommandFailed(f"--arrivals {self.arrivals.value}: expected a --rate with it", code=ExitCode.USAGE)
        if self.rate_per_s:
            try:
                self.schedule()
            except ValueError as error:
                raise CommandFailed(f"--rate and --duration: {error}", code=ExitCode.USAGE) from error

    def __str__(self) -> str:
        if self.rate_per_s:
            rising = "up to " if self.arrivals is Arrivals.RAMP else ""
            return f"{rising}{self.rate_per_s:g} calls a second, {self.arrivals.value}, {self.way.value}"
        return f"{self.callers} callers, {self.way.value}"

    @property
    def seconds(self) -> float:
        """Of all repeats, when nothing is waited for."""
        return self.repeats * (self.warmup_s + self.duration_s)

    def schedule(self) -> Schedule:
        """When calls at the rate are due, the warm-up included."""
        rate, whole_s = self.rate_per_s, self.warmup_s + self.duration_s
        match self.arrivals:
            case Arrivals.POISSON:
                return schedules.poisson(rate, whole_s)
            case Arrivals.CONSTANT:
                return schedules.constant(rate, whole_s)
            case Arrivals.BURSTS:
                return schedules.bursts(rate, whole_s, size=_BURST)
            case Arrivals.RAMP:
                return schedules.ramp(0.0, rate, whole_s)
