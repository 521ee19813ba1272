"""Whole rollouts of a version that is as good as stable, second by second: the machine, the evidence and the judge."""

import dataclasses

import numpy as np

from serinus.config.rollout_spec import RolloutSpec
from serinus.core.traffic import WHOLE
from serinus.core.version import ModelVersion, Version
from serinus.core.windows import ArmWindow, PairWindow, ServerWindow
from serinus.rollout.judging.evidence import Evidence, fold
from serinus.rollout.judging.judge import judge
from serinus.rollout.machine.effects import effects
from serinus.rollout.machine.machine import advance
from serinus.rollout.machine.plan import new_rollout
from serinus.rollout.rollout import Judged, Prepared, Rollout, Status

_LONGEST_S = 3600
_SLOW_RATE = 0.01  # the limit is stable's p99
_BURST_S = 3  # on average
_BETWEEN_S = 120  # likewise


@dataclasses.dataclass(frozen=True, slots=True)
class Habits:
    """How callers call, and how both versions fail.

    Attributes:
        rate: Calls a second.
        callers: Sticky ones, of whom the k-th calls 1/k as often as the first; 0 for calls without a key.
        heavy: "candidate" or "baseline" adds a caller with 30 % of all calls who belongs to that version.
        failing: Share of the calls that fails.
        burst: Share that fails while something that both versions stand on is away: 3 s in every 2 minutes.
    """

    rate: float
    callers: int = 0
    heavy: str = ""
    failing: float = 0.005
    burst: float = 0.0


def play(spec: RolloutSpec, habits: Habits, seed: tuple[int, ...]) -> tuple[Rollout, int]:
    """A rollout to its end, or for an hour, judged each second; and the calls that the candidate got."""
    rng = np.random.default_rng(seed)
    stable, candidate = (ModelVersion(spec.model, Version(1, minor), minor + 1) for minor in range(2))
    rollout = new_rollout(
        spec, "healthy", baseline=stable, candidates=[candidate], salt="", at=0.0, by="benchmark", slo_s=1.0
    )
    rollout, evidence = advance(rollout, Prepared(0.0)), Evidence()
    server = _Server(habits, rng)
    for second in range(1, _LONGEST_S):
        evidence = fold(evidence, rollout, [server.window(rollout)], float(second))
        rollout = advance(rollout, Judged(float(second), judge(evidence, rollout, float(second))))
        if rollout.has_ended or rollout.status in {Status.FAILING, Status.WAITING}:
            break
    return rollout, server.exposed


class _Server:
    """Counts as servers do: of each key the first call of a second is judged.

    Attributes:
        exposed: Calls of the candidate.
    """

    def __init__(self, habits: Habits, rng: np.random.Generator) -> None:
        self.exposed = 0
        self._habits = habits
        self._rng = rng
        rates = 1.0 / np.arange(1, habits.callers + 1)
        self._buckets = rng.integers(0, WHOLE, habits.callers)
        if habits.heavy:
            rates = np.append(rates, rates.sum() * 0.3 / 0.7)
            self._buckets = np.append(self._buckets, 0 if habits.heavy == "candidate" else WHOLE - 1)
        self._rates = rates / rates.sum() * habits.rate if habits.callers else rates
        self._is_bursting = False
        self._segment = -1
        self._arms: dict[int, ArmWindow] = {}
        self._pairs = PairWindow()

    def window(self, rollout: Rollout) -> ServerWindow:
        """What is known after another second."""
        if rollout.segment != self._segment:
            self._segment, self._arms, self._pairs = rollout.segment, {}, PairWindow()
        split = effects(rollout).split
        assert split is not None
        self._is_bursting = self._rng.random() < (1 - 1 / _BURST_S if self._is_bursting else 1 / _BETWEEN_S)
        failing = self._habits.burst if self._habits.burst and self._is_bursting else self._habits.failing
        for arm, (calls, trials) in zip(split.arms, self._calls(split.arms[0].weight), strict=True):
            self._count(arm.version.number, calls, trials, failing)
            self.exposed += calls if arm is split.arms[0] else 0
        if split.mirror is not None:
            pairs = int(self._rng.poisson(self._habits.rate * split.mirror.share / WHOLE))
            self._pairs = PairWindow(self._pairs.pairs + pairs)
        return ServerWindow(rollout.id, "one", 0, self._segment, 0, arms=dict(self._arms), pairs=self._pairs)

    def _calls(self, weight: int) -> list[tuple[int, int]]:
        """Calls and trials of the candidate, then of stable."""
        if not self._habits.callers:
            calls = self._rng.poisson([self._habits.rate * part / WHOLE for part in (weight, WHOLE - weight)])
            return [(count, count) for count in calls.tolist()]
        calls = self._rng.poisson(self._rates)
        sides = (self._buckets < weight, self._buckets >= weight)
        return [(int(calls[side].sum()), int(np.count_nonzero(calls[side]))) for side in sides]

    def _count(self, number: int, calls: int, trials: int, failing: float) -> None:
        if not calls:
            return
        before = self._arms.get(number, ArmWindow())
        in_row = int(self._rng.geometric(1 - failing)) - 1 if failing < 1 else calls
        self._arms[number] = ArmWindow(
            exposures=before.exposures + calls,
            errors=before.errors + int(self._rng.binomial(trials, failing)),
            slow=before.slow + int(self._rng.binomial(trials, _SLOW_RATE)),
            run=in_row if in_row < calls else before.run + calls,
            trials=before.trials + trials,
        )
