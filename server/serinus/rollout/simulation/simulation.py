"""Plays a plan against assumed versions, with the machine and the judge that decide in earnest."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from serinus.config.rollout_spec import RolloutSpec
from serinus.core.version import ModelVersion, Version
from serinus.rollout.judging.evidence import Evidence, fold
from serinus.rollout.judging.judge import judge
from serinus.rollout.judging.statistics.special import special
from serinus.rollout.machine.machine import advance
from serinus.rollout.machine.plan import new_rollout
from serinus.rollout.rollout import Followed, Judged, Outcome, Prepared, Promote, Rollout, Status
from serinus.rollout.simulation.traffic import SimulatedTraffic
from serinus.rollout.simulation.values import MOST_RUNS, Assumed, Simulated

_MOST_LOOKS: Final = 5000  # of one run; looks grow apart, so that a month has fewer
_PATIENCE: Final = 0.2  # the next look comes when a fifth of the stage's time so far has gone by again
_SHORTEST_S: Final = 1.0  # as often as servers look
_SLOW_S: Final = 1.0  # any limit does: what is assumed is how many calls are slower
_ROLLED_BACK: Final = "rolled_back"
_SUCCEEDED: Final = "succeeded"
_WAITING: Final = "waiting"
OUTCOMES: Final = (_SUCCEEDED, _ROLLED_BACK, _WAITING)
"""How a played plan can end; one that waits for a person has ended, but for approvals, which are given at once."""
_UNDECIDED: Final = "inconclusive"
_CONFIDENCE: Final = 0.95


@dataclasses.dataclass(frozen=True, slots=True)
class Played:
    """How one run ended.

    Attributes:
        outcome: One of `OUTCOMES`.
        exposed: Calls that the candidates got.
        seconds: How long it took.
        failed_by: Name of the check that failed it; "inconclusive" if its time was over; "" if nothing failed it.
    """

    outcome: str
    exposed: int
    seconds: float
    failed_by: str


def simulate(
    spec: RolloutSpec,
    baseline: Assumed,
    candidate: Assumed,
    *,
    rate: float,
    runs: int,
    seed: int,
    progress: Callable[[int], None] = lambda _done: None,
) -> Simulated:
    """Play a plan many times.

    Takes milliseconds for each run, and holds the caller for all of them: run it in a thread.

    Args:
        spec: The plan.
        baseline: What stable does.
        candidate: What the candidate does, or every arm of an A/B test.
        rate: Calls of the model a second.
        runs: How often, at most `MOST_RUNS`.
        seed: The same one gives the same runs.
        progress: Told after each run how many are done; may raise to end the simulation.
    """
    assert 1 <= runs <= MOST_RUNS, f"{runs} runs: this is a bug"
    played = []
    for number in range(runs):
        played.append(play(spec, baseline, candidate, rate=rate, seed=(seed, number)))
        progress(number + 1)
    return summary(played)


def play(
    spec: RolloutSpec, baseline: Assumed, candidate: Assumed, *, rate: float, seed: int | tuple[int, ...]
) -> Played:
    """Play a plan once; arguments as for `simulate`."""
    rollout = _started(spec)
    traffic = SimulatedTraffic(baseline, candidate, rate, np.random.default_rng(seed))
    evidence, at, failed_by, failures = Evidence(), 0.0, "", 0
    for _ in range(_MOST_LOOKS):
        before, at = at, _next_look(rollout, at)
        windows = traffic.windows(rollout, at - before)
        if traffic.failures == failures and at - rollout.stage_at < rollout.current.shortest_s:
            continue  # it can neither fail, for nothing went wrong, nor pass yet
        failures = traffic.failures
        evidence = fold(evidence, rollout, windows, at)
        verdict = judge(evidence, rollout, at)
        rollout = advance(rollout, Judged(at, verdict))
        if rollout.status is Status.FAILING:
            failing = (check.name for check in verdict.checks if check.outcome is Outcome.FAIL)
            failed_by = next(failing, _UNDECIDED)
            rollout = advance(rollout, Followed(at))
        if rollout.status is Status.WAITING and rollout.current.approval is not None:
            rollout = advance(rollout, Promote(at, "simulated"))
        if rollout.has_ended or rollout.status is Status.WAITING:
            break
    outcome = rollout.status.value if rollout.has_ended else _WAITING
    return Played(outcome, traffic.exposed, at, failed_by)


def summary(played: Sequence[Played]) -> Simulated:
    """What became of several runs together; at least one."""
    exposed, seconds = ([getattr(run, name) for run in played] for name in ("exposed", "seconds"))
    ends, failures = Counter(run.outcome for run in played), Counter(run.failed_by for run in played if run.failed_by)
    exposed_p50, exposed_p90 = np.quantile(exposed, (0.5, 0.9), method="inverted_cdf")
    seconds_p50, seconds_p90 = np.quantile(seconds, (0.5, 0.9), method="inverted_cdf")
    return Simulated(
        runs=len(played),
        outcomes={
            outcome: (ends[outcome] / len(played), *exact_interval(ends[outcome], len(played))) for outcome in OUTCOMES
        },
        exposed_p50=int(exposed_p50),
        exposed_p90=int(exposed_p90),
        seconds_p50=float(seconds_p50),
        seconds_p90=float(seconds_p90),
        failed_by={name: count / failures.total() for name, count in failures.most_common()},
    )


def exact_interval(hits: int, runs: int) -> tuple[float, float]:
    """Ends of the exact 95 % interval of a share (Clopper and Pearson 1934)."""
    tail = (1.0 - _CONFIDENCE) / 2
    low = float(special().betaincinv(hits, runs - hits + 1, tail)) if hits else 0.0
    high = float(special().betaincinv(hits + 1, runs - hits, 1.0 - tail)) if hits < runs else 1.0
    return low, high


def _started(spec: RolloutSpec) -> Rollout:
    """A rollout of the plan whose candidates are loaded."""
    test = spec.stages[0].ab
    count = 1 if test is None else len(test.arms)
    versions = [ModelVersion(spec.model, Version(1, minor), minor + 1) for minor in range(count + 1)]
    rollout = new_rollout(
        spec, "simulated", baseline=versions[0], candidates=versions[1:], salt="", at=0.0, by="simulated", slo_s=_SLOW_S
    )
    return advance(rollout, Prepared(0.0))


def _next_look(rollout: Rollout, at: float) -> float:
    """When the judge looks again: soon after a stage begins, seldom later, and exactly when it may pass or must end."""
    begun = rollout.stage_at
    then = at + max(_SHORTEST_S, _PATIENCE * (at - begun))
    limits = (rollout.current.shortest_s, rollout.current.longest_s)
    return min([then, *(begun + limit_s for limit_s in limits if limit_s is not None and at < begun + limit_s < then)])
