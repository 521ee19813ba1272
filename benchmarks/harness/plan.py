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
        providers: Execution providers by onnxruntime's names, most wanted first; () for what servers do by themselves.
        results: Folder for tables and plots.
    """

    repeats: int = 3
    seconds: float = 2.0
    calls: int = 3000
    minutes: float = 0.2  # too short to judge a slope by: an hour is for `soak/shapes.py`
    providers: tuple[str, ...] = ()
    results: Path = RESULTS

    @property
    def server_flags(self) -> tuple[str, ...]:
        """For every `serinus serve`."""
        return tuple(part for name in self.providers for part in ("--provider", name))

    @property
    def session_providers(self) -> list[str]:
        """For sessions in this process, which stand beside a server's."""
        return [*self.providers] or ["CPUExecutionProvider"]


SHORT = Plan()
LONG = Plan(repeats=5, seconds=15.0, calls=10_000, minutes=60.0)
