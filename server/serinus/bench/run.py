"""What one run of load says: rates, percentiles, costs, and whether the generator kept to its schedule."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from serinus.bench.calls import ANSWERED, NOT_SENT, Outcome
from serinus.bench.notes import Floats, Notes
from serinus.bench.server_use import Use

_ROUNDING = 1e-6  # of a step: without it a step more would begin at the end, and nothing ends in it

LATE_S = 0.01
"""By default a run is void when one call in a hundred was sent later than this after it was due."""


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One run of calls. Percentiles are of calls due within the window, rates of calls that ended within it.

    Attributes:
        notes: All calls, those of the warm-up included.
        begin_s: When the warm-up was over and the window begins, in the times of `notes`.
        end_s: When the window ends.
        rows: Rows of each call.
        deadline_s: After which an answer is of no use, counted from when the call was due; None for no limit.
        late_s: How late the generator may be (p99).
        server: What the server used within the window; None when nobody looked.
        generator_cpu_s: Processor time of the generator's own process within the window.
    """

    notes: Notes
    begin_s: float
    end_s: float
    rows: int = 1
    deadline_s: float | None = None
    late_s: float = LATE_S
    server: Use | None = None
    generator_cpu_s: float = 0.0

    def __repr__(self) -> str:
        return f"<Run [{self.calls} calls in {self.seconds:.1f} s, {self.throughput_per_s:.0f}/s]>"

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self.end_s - self.begin_s

    @property
    def _was_due(self) -> npt.NDArray[np.bool_]:
        return (self.notes.due_s >= self.begin_s) & (self.notes.due_s <= self.end_s)

    @property
    def _has_ended(self) -> npt.NDArray[np.bool_]:
        return (self.notes.ended_s >= self.begin_s) & (self.notes.ended_s <= self.end_s)

    @property
    def _is_good(self) -> npt.NDArray[np.bool_]:
        answered = self.notes.is_answered
        return answered if self.deadline_s is None else answered & (self.notes.latency_s <= self.deadline_s)

    @property
    def calls(self) -> int:
        """Calls that were due within the window."""
        return int(self._was_due.sum())

    @property
    def ended(self) -> int:
        """Calls that ended within it, however they did."""
        return int(self._has_ended.sum())

    @property
    def answered(self) -> int:
        """Calls due within the window that were answered."""
        return int((self._was_due & self.notes.is_answered).sum())

    @property
    def failed(self) -> int:
        """Calls due within the window that were not."""
        return self.calls - self.answered

    @property
    def outcomes(self) -> Mapping[Outcome, int]:
        """How often the calls due within the window ended so, most frequent first."""
        counts = np.bincount(self.notes.outcome[self._was_due], minlength=len(self.notes.outcomes))
        found = collections.Counter(dict(zip(self.notes.outcomes, map(int, counts), strict=True)))
        return {outcome: count for outcome, count in found.most_common() if count}

    @property
    def offered_per_s(self) -> float:
        """Calls due each second."""
        return self.calls / self.seconds

    @property
    def throughput_per_s(self) -> float:
        """Calls answered each second."""
        return int((self._has_ended & self.notes.is_answered).sum()) / self.seconds

    @property
    def goodput_per_s(self) -> float:
        """Calls answered each second while the answer was of use."""
        return int((self._has_ended & self._is_good).sum()) / self.seconds

    @property
    def latencies_s(self) -> Floats:
        """Of answered calls, from when each was due."""
        latencies_s: Floats = self.notes.latency_s[self._was_due & self.notes.is_answered]
        return latencies_s

    @property
    def reject_latencies_s(self) -> Floats:
        """Of calls that the server or the deadline ended without an answer, from when each was due."""
        sent = np.array([outcome != NOT_SENT for outcome in self.notes.outcomes])
        latencies_s: Floats = self.notes.latency_s[self._was_due & ~self.notes.is_answered & sent[self.notes.outcome]]
        return latencies_s

    def latency_s(self, percent: float) -> float:
        """A percentile of the answered calls; NaN when there is none."""
        return _percentile(self.latencies_s, percent)

    def reject_latency_s(self, percent: float) -> float:
        """A percentile of the others; NaN when there is none."""
        return _percentile(self.reject_latencies_s, percent)

    @property
    def lateness_s(self) -> float:
        """By how much the generator sent the latest of a hundred calls too late (p99)."""
        return _percentile((self.notes.sent_s - self.notes.due_s)[self._was_due], 99)

    @property
    def void(self) -> str:
        """Why the figures say nothing about the server; "" when they do."""
        if not self.calls:
            return "no call was due within the run"
        if self.lateness_s > self.late_s:
            return (
                f"the generator sent calls up to {self.lateness_s * 1e3:.1f} ms late (p99), "
                f"the limit is {self.late_s * 1e3:.1f} ms: offer less, or use another machine for it"
            )
        if unsent := self.outcomes.get(NOT_SENT, 0):
            return f"{unsent} calls were not sent, because too many were open: give calls a deadline, or offer less"
        return ""

    @property
    def batch_rows(self) -> npt.NDArray[np.uint32]:
        """Rows of the run that answered each call, where the server said."""
        rows = self.notes.batch_rows[self._was_due & self.notes.is_answered]
        return rows[rows > 0]

    @property
    def server_cpu_us(self) -> float:
        """Processor time of the server for one call, in microseconds; NaN when nobody looked."""
        return np.nan if self.server is None or not self.ended else self.server.cpu_s / self.ended * 1e6

    @property
    def generator_cpu_us(self) -> float:
        """Processor time of the generator for one call, in microseconds."""
        return self.generator_cpu_s / self.ended * 1e6 if self.ended else np.nan

    def goodput_over_time(self, step_s: float) -> tuple[Floats, Floats]:
        """Middle of each step after the start, and good answers a second in it."""
        edges = self.steps(step_s)
        counts, _ = np.histogram(self.notes.ended_s[self._is_good], edges)
        return edges[:-1] + step_s / 2, counts / step_s

    def steps(self, step_s: float) -> Floats:
        """Where steps begin and end, from the start to the end of the window."""
        whole = max(1, math.ceil(self.end_s / step_s - _ROUNDING))
        edges: Floats = np.arange(whole + 1, dtype=np.float64) * step_s
        return edges


def _percentile(values_s: Floats, percent: float) -> float:
    return float(np.percentile(values_s, percent)) if len(values_s) else float("nan")


def pooled_latency_s(runs: Iterable[Run], percent: float) -> float:
    """A percentile of the answered calls of several runs together."""
    return _percentile(np.concatenate([run.latencies_s for run in runs]), percent)


def pooled_failures(runs: Iterable[Run]) -> collections.Counter[Outcome]:
    """How often the calls of several runs ended without an answer, by outcome."""
    failures: collections.Counter[Outcome] = collections.Counter()
    for run in runs:
        failures.update({outcome: count for outcome, count in run.outcomes.items() if outcome != ANSWERED})
    return failures
