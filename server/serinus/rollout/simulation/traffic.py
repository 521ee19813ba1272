"""Makes up what a server would have counted, had versions done what is assumed of them."""

from collections.abc import Sequence

import numpy as np

from serinus.config.rollout_spec import MetricGuardrail
from serinus.core.traffic import WHOLE
from serinus.core.windows import ArmWindow, MetricWindow, PairWindow, ServerWindow
from serinus.rollout.machine.effects import effects
from serinus.rollout.rollout import Rollout
from serinus.rollout.simulation.values import Assumed


class SimulatedTraffic:
    """One server that shares calls out by the splits of one rollout.

    Attributes:
        exposed: Calls that the candidates got so far.
        failures: What went wrong with them, and with copies of calls.
    """

    def __init__(self, baseline: Assumed, candidate: Assumed, rate: float, rng: np.random.Generator) -> None:
        self.exposed = 0
        self.failures = 0
        self._baseline = baseline
        self._candidate = candidate
        self._rate = rate
        self._rng = rng
        self._beat = 0
        self._segment = 0
        self._arms: dict[int, ArmWindow] = {}
        self._pairs = PairWindow()
        self._metrics: dict[str, dict[int, MetricWindow]] = {}
        self._skipped: dict[int, int] = {}

    def windows(self, rollout: Rollout, seconds: float) -> Sequence[ServerWindow]:
        """What the server says after so many more seconds in which the rollout stood where it stands."""
        if rollout.segment != self._segment:
            self._segment, self._arms, self._pairs = rollout.segment, {}, PairWindow()
        split = effects(rollout).split
        assert split is not None, f"{rollout.status} has no split: this is a bug"
        weights = [arm.weight / WHOLE for arm in split.arms]
        calls = self._rng.multinomial(self._rng.poisson(self._rate * seconds), weights)
        for arm, count in zip(split.arms, calls.tolist(), strict=True):
            self._call(rollout, arm.version.number, count)
        if split.mirror is not None:
            self._mirror(int(self._rng.binomial(calls[-1], split.mirror.share / WHOLE)))
        self._beat += 1
        return [
            ServerWindow(
                rollout=rollout.id,
                server="simulated",
                beat=self._beat,
                segment=self._segment,
                revision=0,
                arms=dict(self._arms),
                pairs=self._pairs,
                metrics=self._metrics,
            )
        ]

    def _call(self, rollout: Rollout, number: int, calls: int) -> None:
        is_baseline = number == rollout.baseline.number
        assumed = self._baseline if is_baseline else self._candidate
        if not is_baseline:
            self.exposed += calls
        skipped = min(calls, rollout.spec.warm_up_requests - self._skipped.get(number, 0))
        self._skipped[number] = self._skipped.get(number, 0) + skipped
        counted = calls - skipped
        if not counted:
            return
        before = self._arms.get(number, ArmWindow())
        errors = self._hits(counted, assumed.error_rate)
        invalid = self._hits(counted - errors, assumed.invalid_rate)
        slow = self._hits(counted, assumed.slow_rate)
        if not is_baseline:
            self.failures += errors + invalid + slow
        self._arms[number] = ArmWindow(
            exposures=before.exposures + counted,
            errors=before.errors + errors,
            slow=before.slow + slow,
            invalid=before.invalid + invalid,
            run=self._run(before.run, counted, errors + invalid),
        )
        for metric in rollout.spec.guardrails.metrics:
            if metric.name in assumed.metric_means:
                self._report(metric, number, counted, assumed.metric_means[metric.name])

    def _run(self, before: int, calls: int, failures: int) -> int:
        """Failures in a row at the end of calls of which so many, anywhere among them, have failed."""
        if failures == calls:
            return before + calls
        # Those that fall behind the last good call, as if each call failed with the share that did.
        return min(int(self._rng.geometric(1.0 - failures / calls)) - 1, failures)

    def _mirror(self, pairs: int) -> None:
        disagreements = self._hits(pairs, self._candidate.disagreement_rate)
        self.failures += disagreements
        self._pairs = PairWindow(self._pairs.pairs + pairs, self._pairs.disagreements + disagreements)

    def _report(self, metric: MetricGuardrail, number: int, calls: int, mean: float) -> None:
        span = metric.highest - metric.lowest
        total = calls * metric.lowest + span * self._hits(calls, min(max((mean - metric.lowest) / span, 0.0), 1.0))
        of_name = self._metrics.setdefault(metric.name, {})
        before = of_name.get(number, MetricWindow())
        of_name[number] = MetricWindow(before.count + calls, before.total + total)

    def _hits(self, calls: int, rate: float) -> int:
        return int(self._rng.binomial(calls, rate)) if rate else 0
