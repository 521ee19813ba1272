"""Counts what became of mirrored calls, rollout by rollout, and keeps examples of disagreements."""

import dataclasses
import random
from collections import OrderedDict
from collections.abc import Sequence
from typing import assert_never

from serinus.core.windows import PairWindow
from serinus.serving.mirroring.disagreements import Disagreement, Reservoir
from serinus.telemetry.outcome import PairEnd

_MOST_ROLLOUTS = 1024  # as many are not mirrored at the same time; an older one than that has ended
_MOST_RESERVOIRS = 8  # 32 MiB at most; operators look at what happens now


@dataclasses.dataclass(slots=True)
class _Tally:
    """The counts of one segment, as in `PairWindow`."""

    segment: int
    pairs: int = 0
    disagreements: int = 0
    errors: int = 0
    dropped: int = 0
    baseline_s: float = 0.0
    mirrored_s: float = 0.0


class PairCounts:
    """What became of mirrored calls in the newest segment of each rollout. What belongs to none is not counted."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._tallies: OrderedDict[str, _Tally] = OrderedDict()
        self._reservoirs: OrderedDict[str, Reservoir] = OrderedDict()

    def add(self, rollout: str, segment: int, end: PairEnd, *, baseline_s: float, mirrored_s: float) -> None:
        """A copy of a call has ended; one of a segment that is over counts for nothing."""
        tally = self._tally(rollout, segment)
        if tally is None:
            return
        if end is PairEnd.DROPPED:
            tally.dropped += 1
            return
        tally.pairs += 1
        tally.baseline_s += baseline_s
        tally.mirrored_s += mirrored_s
        match end:
            case PairEnd.SAME:
                return
            case PairEnd.DIFFERENT:
                tally.disagreements += 1
            case PairEnd.FAILED:
                tally.disagreements += 1
                tally.errors += 1
            case _:
                assert_never(end)

    def keep(self, rollout: str, found: Disagreement) -> None:
        """Keep a disagreement, perhaps."""
        if not rollout:
            return
        reservoir = self._reservoirs.get(rollout)
        if reservoir is None:
            reservoir = self._reservoirs[rollout] = Reservoir(self._rng)
            if len(self._reservoirs) > _MOST_RESERVOIRS:
                self._reservoirs.popitem(last=False)
        reservoir.add(found)

    def window(self, rollout: str, segment: int) -> PairWindow:
        """The counts of a segment; none if it is not the newest one that is known."""
        tally = self._tallies.get(rollout)
        if tally is None or tally.segment != segment:
            return PairWindow()
        return PairWindow(
            pairs=tally.pairs,
            disagreements=tally.disagreements,
            errors=tally.errors,
            dropped=tally.dropped,
            baseline_s=tally.baseline_s,
            mirrored_s=tally.mirrored_s,
        )

    def examples(self, rollout: str) -> Sequence[Disagreement]:
        """The disagreements of a rollout that are kept."""
        reservoir = self._reservoirs.get(rollout)
        return () if reservoir is None else reservoir.examples

    def _tally(self, rollout: str, segment: int) -> _Tally | None:
        if not rollout:
            return None
        tally = self._tallies.get(rollout)
        if tally is None or tally.segment < segment:
            tally = self._tallies[rollout] = _Tally(segment)
            if len(self._tallies) > _MOST_ROLLOUTS:
                self._tallies.popitem(last=False)
        return tally if tally.segment == segment else None
