"""Times several forms of one model against each other: turn by turn, so that what disturbs one disturbs all.

A speedup is the median of ratios, each of runs that followed one another; how sure it is, is read off the ratios' own
order, without assuming how times are distributed.
"""

import dataclasses
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence

from serinus.core.errors import ServerError
from serinus.runtime.quantization.report import Timing

MOST_ROWS = 32  # no model measured gets faster per row beyond this by much
MOST_ROUNDS = 41
HOPELESS = 1.3  # times slower in the first look: a few runs say it well enough
HOPELESS_ROUNDS = 3
SHORTEST_SAMPLE_S = 4e-3  # shorter ones measure the clock and the scheduler
GAIN = 1.03  # more rows a second than this, or a doubled batch was no gain
LOOK_SHARE = 0.4  # of the budget, for finding the best batches
_DOUBT = 0.005  # that the true median is below the lower end
_SHORTEST_RUN_S = 1e-9  # what a clock with coarse steps may call nothing


_Taken = Mapping[str, Mapping[int, list[float]]]
"""Seconds of each turn, by name and rows in the run."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One form of the model.

    Attributes:
        run: Runs that many rows once; seconds that it took.
        most_rows: What a run may hold, as the server would join them.
    """

    run: Callable[[int], float]
    most_rows: int


def time_contenders(
    contenders: Mapping[str, Contender],
    baseline: str,
    clock: Callable[[], float],
    rng: random.Random,
    *,
    budget_s: float,
) -> dict[str, Timing]:
    """How fast each is, by name.

    Args:
        contenders: The forms by name, `baseline` among them.
        baseline: What speedups are relative to.
        clock: Seconds, from any origin.
        rng: Shuffles the turns, so that none always follows the same other.
        budget_s: Seconds after which no further turn starts.
    """
    return _Race(contenders, baseline, clock, rng, budget_s).run()


def lower_end(ratios: Sequence[float]) -> float:
    """What the median of all such ratios is at least, with 99.5 % confidence; 0.0 if they are too few to say."""
    ordered = sorted(ratios)
    # Each ratio lies below the true median with probability one half: how many do is a matter of tossing coins.
    below, probability = 0, 0.5 ** len(ordered)
    while probability <= _DOUBT:
        below += 1
        probability += math.comb(len(ordered), below) * 0.5 ** len(ordered)
    return ordered[below - 1] if below else 0.0


class _Race:
    def __init__(
        self,
        contenders: Mapping[str, Contender],
        baseline: str,
        clock: Callable[[], float],
        rng: random.Random,
        budget_s: float,
    ) -> None:
        self._contenders = contenders
        self._baseline = baseline
        self._clock = clock
        self._rng = rng
        self._started = clock()
        self._budget_s = budget_s

    def run(self) -> dict[str, Timing]:
        per_row = self._look()
        first = {name: _best(seconds) for name, seconds in per_row.items()}
        pace = {name: per_row[name][first[name]] for name in first}
        hopeless = {name for name in pace if pace[name] > HOPELESS * pace[self._baseline]}
        # What looked best for one is measured for all: the first look is too short to compare by.
        common = {1, *(rows for name, rows in first.items() if name not in hopeless)}
        sizes = {
            name: sorted({1, first[name]} if name in hopeless else common & per_row[name].keys()) for name in first
        }
        taken: _Taken = {name: {rows: [] for rows in sizes[name]} for name in first}
        for round_ in range(MOST_ROUNDS):
            if round_ and self._late(1.0):
                break
            running = [name for name in first if round_ < HOPELESS_ROUNDS or name not in hopeless]
            for name in self._rng.sample(running, len(running)):
                for rows in sizes[name]:
                    taken[name][rows].append(self._sample(name, rows))
        return {name: self._timing(taken, name) for name in taken}

    def _timing(self, taken: _Taken, name: str) -> Timing:
        medians = {rows: statistics.median(seconds) for rows, seconds in taken[name].items()}
        best = _best({rows: seconds / rows for rows, seconds in medians.items()})
        others = taken[self._baseline]
        other = _best({rows: statistics.median(seconds) / rows for rows, seconds in others.items()})
        # Faster for sure only if it is at the batch of either: else noise would choose what is compared.
        least = min(
            lower_end(
                [(theirs / rows) / (own / best) for theirs, own in zip(others[rows], taken[name][best], strict=False)]
            )
            for rows in {other, best if best in others else other}
        )
        return Timing(
            batch_1_s=medians[1],
            best_batch=best,
            best_batch_s=medians[best],
            speedup=(statistics.median(others[other]) / other) / (medians[best] / best),
            speedup_at_least=least,
        )

    def _look(self) -> dict[str, dict[int, float]]:
        """Seconds a row by rows in a run, as far as larger runs paid off."""
        per_row: dict[str, dict[int, float]] = {name: {} for name in self._contenders}
        for contender in self._contenders.values():
            contender.run(1)  # the first run is cold
        climbing, rows = list(self._contenders), 1
        while climbing and rows <= MOST_ROWS:
            samples = self._samples(climbing, rows)
            for name in samples:
                per_row[name][rows] = min(samples[name]) / rows
            rows *= 2
            late = self._late(LOOK_SHARE)
            climbing = [
                name
                for name in samples
                if not late and rows <= self._contenders[name].most_rows and _climbs(per_row[name])
            ]
        return per_row

    def _samples(self, names: Sequence[str], rows: int) -> dict[str, list[float]]:
        """Some samples of each; without those that cannot run so many rows at once."""
        samples: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(3):
            for name in self._rng.sample(list(samples), len(samples)):
                try:
                    samples[name].append(self._sample(name, rows))
                except ServerError:
                    if rows == 1:
                        raise
                    del samples[name]
        return samples

    def _sample(self, name: str, rows: int) -> float:
        """Seconds of one run; the mean of several if one is short."""
        run = self._contenders[name].run
        total, runs = run(rows), 1
        while total < SHORTEST_SAMPLE_S and runs < 1000:  # noqa: PLR2004 - a clock that stands still must not hold us up
            total += run(rows)
            runs += 1
        return max(total / runs, _SHORTEST_RUN_S)

    def _late(self, share: float) -> bool:
        return self._clock() - self._started >= share * self._budget_s


def _best(per_row: Mapping[int, float]) -> int:
    """The smallest number of rows that is as fast per row as any, but for noise."""
    return min(rows for rows, seconds in per_row.items() if seconds <= GAIN * min(per_row.values()))


def _climbs(per_row: Mapping[int, float]) -> bool:
    """Whether one of the last two doublings paid off."""
    sizes = sorted(per_row)
    recent, before = sizes[-2:], sizes[:-2]
    if not before:
        return True
    return min(per_row[rows] for rows in before) > GAIN * min(per_row[rows] for rows in recent)
