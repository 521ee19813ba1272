"""How much is measured: the short version that fits a coffee break, and the long one."""

import dataclasses
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "results"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What every scenario is told.

    Attributes:
        repeats: Interleaved repeats; the median counts, the range stands beside it.
        seconds: Of one measured run at a rate or of a slow model.
        calls: Of one measured run of closed-loop callers on a fast model.
        minutes: Of what grows slowly, memory above all.
        server_flags: For every `serinus serve`, such as `--provider cuda`.
        results: Folder for tables and plots.
    """

    repeats: int = 3
    seconds: float = 2.0
    calls: int = 3000
    minutes: float = 0.5
    server_flags: tuple[str, ...] = ()
    results: Path = RESULTS


SHORT = Plan()
LONG = Plan(repeats=5, seconds=15.0, calls=10_000, minutes=60.0)
