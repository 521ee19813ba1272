"""What is measured of the judge: how often it is wrong about a healthy version, and how soon right about a bad one."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from serinus.config.rollout_spec import RolloutSpec
from serinus.rollout.rollout import Status
from serinus.rollout.simulation.simulation import exact_interval, simulate
from serinus.rollout.simulation.values import Assumed

from . import looks, naive
from .looks import Callers, Look
from .rollouts import Habits, play
from .weighing import alarms, exposed_until_alarm

ALPHA = 0.01
SPEC = RolloutSpec(model="benchmark", candidate="1.1.0")

# Calls without keys, callers with them, bursts, and a caller with 30 % of the calls on either side.
_HABITS = (
    Habits(rate=100, failing=0.01),
    Habits(rate=100, burst=0.5),
    Habits(rate=300, callers=300, burst=0.5),
    Habits(rate=300, callers=300, heavy="baseline"),
    Habits(rate=300, callers=300, heavy="candidate", burst=0.5),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """How many of many rollouts.

    Attributes:
        group: What it belongs to.
        what: Is counted.
        hits: How many.
        runs: Of so many.
        aim: What the interval's upper end must not exceed; None for what is only shown.
    """

    group: str
    what: str
    hits: int
    runs: int
    aim: float | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of the share."""
        return exact_interval(self.hits, self.runs)

    @property
    def is_met(self) -> bool:
        """Whether the aim is."""
        return self.aim is None or self.interval[1] <= self.aim


@dataclasses.dataclass(frozen=True, slots=True)
class Detection:
    """How soon a bad version is noticed.

    Attributes:
        what: Is wrong with it.
        exposed_p50: Calls that it got until then: median.
        exposed_p90: In nine of ten rollouts at most.
        caught: Rollouts in which it was noticed.
        runs: Of so many.
    """

    what: str
    exposed_p50: int
    exposed_p90: int
    caught: int
    runs: int


def healthy_versions(runs: int, seed: int) -> Iterator[Share]:
    """False alarms of the test against stable alone, looked at after every call or every second."""

    def callers(rng: np.random.Generator, heavy: str) -> Callers:
        return looks.zipf_callers(runs, rng, callers=300, rate=300, weight=0.1, heavy=heavy)

    cases: dict[str, Callable[[np.random.Generator], Iterator[Look]]] = {
        "1 % fail, weight 5 %, a look each call": partial(_single, runs, 20_000, 0.05, 0.01),
        "20 % fail, weight 5 %, a look each call": partial(_single, runs, 5_000, 0.05, 0.2),
        "5 % fail, weight 1 %, a look each call": partial(_single, runs, 20_000, 0.01, 0.05),
        "5 % fail, weight 50 %, a look each call": partial(_single, runs, 10_000, 0.5, 0.05),
        "bursts, weight 5 %, a look each call": lambda rng: looks.bursts(runs, 20_000, rng, weights=(0.05,)),
        "bursts, weight 5 to 50 %, a look each call": lambda rng: looks.bursts(
            runs, 20_000, rng, weights=(0.05, 0.1, 0.5)
        ),
        "sticky callers, Zipf": lambda rng: looks.sticky_trials(callers(rng, ""), 600, rng, failing=0.02),
        "the same, one of stable's calls 30 %": lambda rng: looks.sticky_trials(
            callers(rng, "baseline"), 600, rng, failing=0.02
        ),
        "the same, one of the candidate's calls 30 %": lambda rng: looks.sticky_trials(
            callers(rng, "candidate"), 600, rng, failing=0.02
        ),
    }
    for place, (what, case) in enumerate(cases.items()):
        found = alarms(case(np.random.default_rng((seed, place))), runs, ALPHA)
        yield Share("false alarms, alpha 1 %", what, found, runs, 2 * ALPHA)
    found = alarms(_unlike_servers(runs, np.random.default_rng((seed, len(cases)))), runs, ALPHA, servers=2)
    yield Share("false alarms, alpha 1 %", "two servers of which one fails 10 %", found, runs, 2 * ALPHA)


def wrong_rules(runs: int, seed: int) -> Iterator[Share]:
    """False alarms of rules that must not be used, on versions that are as healthy."""
    group = "rules that must not be used"
    rng = np.random.default_rng((seed, 100))
    found = naive.ratio_alarms(runs, rng, weight=0.05, failing=0.01)
    yield Share(group, "more than twice stable's error rate in a window of 100 calls", found, runs)
    found = naive.z_test_alarms(runs, rng, weight=0.05, failing=0.01)
    yield Share(group, "a z-test at 5 %, looked at 100 times", found, runs)
    callers = looks.zipf_callers(runs, rng, callers=300, rate=300, weight=0.1, heavy="baseline")
    found = alarms(looks.sticky_calls(callers, 600, rng, failing=0.02), runs, ALPHA)
    yield Share(group, "all calls counted, but one failure a caller and second", found, runs)
    pair = zip(*[_unlike_servers(runs, rng)] * 2, strict=True)
    found = alarms((_joined(one, other) for one, other in pair), runs, ALPHA)
    yield Share(group, "servers added up although one fails 10 %", found, runs)


def whole_rollouts(runs: int, seed: int) -> Iterator[Share]:
    """How the default plan ends for a healthy version, with all checks of the judge."""
    ends = [play(SPEC, _HABITS[run % len(_HABITS)], (seed, 200, run))[0].status for run in range(runs)]
    group = "the default plan, judged each second"
    failed = sum(status is Status.FAILING for status in ends)
    yield Share(group, "healthy versions rolled back", failed, runs, 2 * ALPHA)
    yield Share(group, "healthy versions promoted", sum(status is Status.SUCCEEDED for status in ends), runs)


def limits(runs: int, seed: int) -> Iterator[Share]:
    """What no statistics can tell from a bad version."""
    group = "what cannot be told apart"
    outage = Habits(rate=100, burst=1.0)
    ends = [play(SPEC, outage, (seed, 300, run))[0].status for run in range(runs)]
    failed = sum(status is Status.FAILING for status in ends)
    yield Share(group, "outages of everything, 3 s in every 2 minutes, also at weight 100 %", failed, runs)
    rng = np.random.default_rng((seed, 301))
    found = alarms(_one_failing_caller(runs, rng), runs, ALPHA)
    yield Share(group, "one of 1000 sticky callers always fails, weight 5 %", found, runs)


def detections(runs: int, seed: int) -> Iterator[Detection]:
    """How soon errors are noticed by the test against stable alone: weight 5 %, stable fails 0.1 %, alpha 1 %."""
    for rate, calls in ((0.1, 10_000), (0.02, 40_000), (0.005, 300_000)):
        for what, weight in ((", taking 5 % for its share", 0.05), (", its share as it was", None)):
            rng = np.random.default_rng((seed, 400))
            each = looks.single_calls(runs, calls, rng, weight=0.05, candidate=rate, baseline=0.001)
            found = exposed_until_alarm(each, runs, ALPHA, weight)
            yield _detection(f"{rate:.1%} errors, a look each call{what}", found)
        rng = np.random.default_rng((seed, 401))
        every = looks.windows(runs, calls // 20, rng, calls=20, weight=0.05, candidate=rate, baseline=0.001)
        yield _detection(f"{rate:.1%} errors, a look every 20 calls", exposed_until_alarm(every, runs, ALPHA))


def detections_by_plan(runs: int, seed: int) -> Iterator[Detection]:
    """How many calls a bad version gets before the default plan takes it out: 50 calls a second, 1 % are slow."""
    usual = Assumed(error_rate=0.001, slow_rate=0.01)
    worse = {
        "all calls fail": dataclasses.replace(usual, error_rate=1.0),
        "10 % errors, stable 0.1 %": dataclasses.replace(usual, error_rate=0.1),
        "2 % errors, stable 0.1 %": dataclasses.replace(usual, error_rate=0.02),
        "3 % slow, stable 1 %": dataclasses.replace(usual, slow_rate=0.03),
        "10 % invalid, stable none": dataclasses.replace(usual, invalid_rate=0.1),
        "20 % answered differently": dataclasses.replace(usual, disagreement_rate=0.2),
    }
    cases = {what: (usual, candidate) for what, candidate in worse.items()}
    fails = dataclasses.replace(usual, error_rate=0.01)
    cases["3 % errors, stable 1 %"] = fails, dataclasses.replace(usual, error_rate=0.03)
    for what, (baseline, candidate) in cases.items():
        found = simulate(SPEC, baseline, candidate, rate=50, runs=runs, seed=seed)
        caught = round(found.outcomes["rolled_back"][0] * runs)
        yield Detection(what, found.exposed_p50, found.exposed_p90, caught, runs)


def _single(runs: int, calls: int, weight: float, failing: float, rng: np.random.Generator) -> Iterator[Look]:
    return looks.single_calls(runs, calls, rng, weight=weight, candidate=failing, baseline=failing)


def _unlike_servers(runs: int, rng: np.random.Generator) -> Iterator[Look]:
    """Looks of two servers in turn: one fails 10 %, and its callers belong to the candidate more often."""
    failing = looks.windows(runs, 300, rng, calls=100, weight=0.1, candidate=0.1, baseline=0.1)
    sound = looks.windows(runs, 300, rng, calls=100, weight=0.02, candidate=0.001, baseline=0.001)
    for one, other in zip(failing, sound, strict=True):
        yield one
        yield other


def _joined(one: Look, other: Look) -> Look:
    return Look(*(getattr(one, name) + getattr(other, name) for name in Look.__slots__))


def _one_failing_caller(runs: int, rng: np.random.Generator) -> Iterator[Look]:
    """Five minutes of a thousand callers, one call a second each; the first one's calls always fail."""
    is_candidate = rng.random(runs) < 0.05
    for each in looks.windows(runs, 300, rng, calls=1000, weight=0.05, candidate=0.001, baseline=0.001):
        yield dataclasses.replace(
            each,
            candidate=each.candidate + is_candidate,
            candidate_failures=each.candidate_failures + is_candidate,
            baseline=each.baseline + ~is_candidate,
            baseline_failures=each.baseline_failures + ~is_candidate,
        )


def _detection(what: str, exposed: looks.Counts) -> Detection:
    # What was never noticed counts as noticed after everything.
    calls = np.where(exposed < 0, np.iinfo(np.int64).max, exposed)
    half, most = np.quantile(calls, (0.5, 0.9), method="inverted_cdf")
    return Detection(what, int(half), int(most), int((exposed >= 0).sum()), len(exposed))
