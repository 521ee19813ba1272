"""Aim 6: more calls than can be answered, from callers who do not wait: what is answered in time, and how soon after.

Capacity is measured before, between and after the levels: a machine that others use changes under it. Above it an ideal
server answers as many calls as ever. What the generator and the refusals themselves take from two cores is part of what
is measured, and decides where calls are many: so there is a model that takes 7 ms a call, beside what a bare echo of as
many calls would leave of the machine, and one that takes 45 ms, where ten times the capacity is no more calls than the
generator and refusals can bear.
"""

import asyncio
import dataclasses
import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from harness.metrics import counted
from harness.plan import Plan
from harness.processes import ServerProcess
from harness.rows import Row, at_least, at_most, beside, void_of
from models import cases
from models.beside_echo import left_by_level
from models.case import Case
from models.serving import serving
from serinus.bench.figures import Figures
from serinus.bench.load import closed_loop, open_loop
from serinus.bench.plots import save_goodput, save_latencies
from serinus.bench.run import LATE_S, Run
from serinus.bench.schedules import one_after_another, poisson
from serinus.bench.spread import Spread
from serinus.bench.transports import Way, opened

_LEVELS = (1.0, 2.0, 5.0, 10.0)
_WANTED = {1.0: 0.97, 2.0: 0.97, 5.0: 0.95, 10.0: 0.90}
_WAYS = (Way.FRAMES, Way.UNARY)
_CALLERS = 32
_WARMUP_S = 0.3
_LEVEL_PART, _CAPACITY_PART, _ECHO_PART = 0.75, 0.5, 0.25  # of the plan's seconds
_CALM, _CALM_S = 0.5, 2.0  # share of the capacity after an overload, and for how long
_STEP_S = 0.25
_WELL = 0.99  # of the calls of a step are answered in time: the overload is over for callers
_DEADLINES = 10  # times the time of a full batch
_LONG_TOKENS = 128


@dataclasses.dataclass(frozen=True)
class _Repeat:
    """One repeat of one way.

    Attributes:
        capacities_per_s: Calls that callers who wait get answered, before each second level and after the last one.
        levels: A run at each multiple of the capacity.
        wasted: Rows that were run at ten times the capacity and whose callers had gone, as a share.
    """

    capacities_per_s: tuple[float, ...]
    levels: dict[float, Run]
    wasted: float

    @property
    def capacity_per_s(self) -> float:
        """Over all of the repeat."""
        return statistics.median(self.capacities_per_s)

    def share(self, level: float) -> float:
        """Goodput at a multiple of the capacity, of what an ideal server would answer in time."""
        at, run = _LEVELS.index(level) // 2, self.levels[level]
        return run.goodput_per_s / min(run.offered_per_s, statistics.mean(self.capacities_per_s[at : at + 2]))


@dataclasses.dataclass(frozen=True)
class _Found:
    """One model in all repeats of all ways.

    Attributes:
        case: The model.
        batch_rows: Rows of a full batch.
        deadline_s: Of each call.
        repeats: By way.
    """

    case: Case
    batch_rows: int
    deadline_s: float
    repeats: Mapping[Way, list[_Repeat]]

    def capacity_per_s(self) -> float:
        """Over all repeats."""
        return statistics.median(each.capacity_per_s for repeats in self.repeats.values() for each in repeats)


def measure(plan: Plan) -> list[Row]:
    """Ways take turns; plots of the model with many calls go beside the results."""
    many = cases.magika()
    few = dataclasses.replace(cases.minilm().padded_to(_LONG_TOKENS), name="minilm-128")
    with serving([many, few], plan.server_flags) as server:
        crowded = _measured(server, many, plan)
        recovered = _recoveries(server, crowded, plan)
        bearable = _measured(server, few, plan)
    _draw(plan, crowded)
    left = left_by_level(
        many,
        {level: level * crowded.capacity_per_s() for level in _LEVELS},
        repeats=plan.repeats,
        seconds=plan.seconds * _ECHO_PART,
        deadline_s=crowded.deadline_s,
    )
    return [*_rows_of_model(crowded), *recovered, *_limits(crowded, left), *_rows_of_model(bearable)]


def _measured(server: ServerProcess, case: Case, plan: Plan) -> _Found:
    rng = np.random.default_rng(0)
    batch_rows = asyncio.run(_full_batch(server, case, plan.seconds * _CAPACITY_PART))
    deadline_s = _DEADLINES * _run_s(case, batch_rows)
    found: dict[Way, list[_Repeat]] = {way: [] for way in _WAYS}
    for _ in range(plan.repeats):
        for way, repeats in found.items():
            repeats.append(asyncio.run(_repeat(server, way, case, plan.seconds, deadline_s, rng)))
    return _Found(case, batch_rows, deadline_s, found)


async def _full_batch(server: ServerProcess, case: Case, seconds: float) -> int:
    """Rows of nine runs of ten, or fewer, when the server has learned and has as much to do as it can."""
    async with opened(server.target, case.name, case.inputs, Way.FRAMES) as call:
        full = await closed_loop(call, callers=_CALLERS, duration_s=seconds, warmup_s=seconds)
    return int(np.percentile(full.batch_rows, 90))


async def _repeat(
    server: ServerProcess, way: Way, case: Case, seconds: float, deadline_s: float, rng: np.random.Generator
) -> _Repeat:
    level_s = seconds * _LEVEL_PART
    async with opened(server.target, case.name, case.inputs, way) as call:

        async def capacity() -> float:
            run = await closed_loop(call, callers=_CALLERS, duration_s=seconds * _CAPACITY_PART, warmup_s=_WARMUP_S)
            return run.throughput_per_s

        capacities: list[float] = []
        levels: dict[float, Run] = {}
        before = 0.0, 0.0
        for at, level in enumerate(_LEVELS):
            if at % 2 == 0:
                capacities.append(await capacity())
            before = _rows_of(server, case)
            levels[level] = await open_loop(
                call,
                poisson(level * capacities[-1], _WARMUP_S + level_s)(rng),
                duration_s=_WARMUP_S + level_s,
                warmup_s=_WARMUP_S,
                deadline_s=deadline_s,
                meter=server.meter,
                late_s=_late_s(deadline_s),
            )
        ran, answered = (now - then for now, then in zip(_rows_of(server, case), before, strict=True))
        capacities.append(await capacity())
    return _Repeat(tuple(capacities), levels, max(0.0, ran - answered) / max(ran, 1.0))


def _recoveries(server: ServerProcess, found: _Found, plan: Plan) -> list[Row]:
    """How soon calls are answered in time again after ten times the capacity; ways take turns."""
    rng, overload_s = np.random.default_rng(1), plan.seconds * _CAPACITY_PART
    seconds: dict[Way, list[float]] = {way: [] for way in _WAYS}
    for _ in range(plan.repeats):
        for way, each in seconds.items():
            each.append(_recovery_s(asyncio.run(_overload_then_calm(server, way, found, overload_s, rng)), overload_s))
    return [
        at_most(
            6,
            f"{found.case.name}, {way.value}: recovery after {max(_LEVELS):g} x capacity",
            Spread(tuple(each)),
            2,
            "s",
        )
        for way, each in seconds.items()
    ]


def _late_s(deadline_s: float) -> float:
    """A tenth of the deadline does not decide whether an answer is in time."""
    return max(LATE_S, deadline_s / 10)


def _run_s(case: Case, rows: int) -> float:
    """Seconds of a run of so many rows in this process, on one thread as the server runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(case.path, options, providers=["CPUExecutionProvider"])
    batch = case.joined([case.inputs[row % len(case.inputs)] for row in range(rows)])
    seconds: list[float] = []
    for _ in range(6):
        began = time.perf_counter()
        session.run(None, batch)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


async def _overload_then_calm(
    server: ServerProcess, way: Way, found: _Found, seconds: float, rng: np.random.Generator
) -> Run:
    capacity_per_s, case = found.capacity_per_s(), found.case
    times = one_after_another(
        (poisson(max(_LEVELS) * capacity_per_s, seconds), seconds), (poisson(_CALM * capacity_per_s, _CALM_S), _CALM_S)
    )(rng)
    async with opened(server.target, case.name, case.inputs, way) as call:
        return await open_loop(
            call,
            times,
            duration_s=seconds + _CALM_S,
            deadline_s=found.deadline_s,
            late_s=_late_s(found.deadline_s),
        )


def _recovery_s(run: Run, overload_s: float) -> float:
    """Seconds after the overload until the end of the last step in which calls were not answered in time."""
    notes = run.notes
    assert run.deadline_s is not None
    good = notes.is_answered & (notes.latency_s <= run.deadline_s)
    steps = np.floor((notes.due_s - overload_s) / _STEP_S).astype(int)
    bad = [
        step for step in range(int(_CALM_S / _STEP_S)) if (steps == step).any() and good[steps == step].mean() < _WELL
    ]
    return (max(bad) + 1) * _STEP_S if bad else 0.0


def _rows_of(server: ServerProcess, case: Case) -> tuple[float, float]:
    """Rows that were run so far, and rows of calls that were answered."""
    return tuple(counted(server, name, model=case.name) for name in ("serinus_batch_rows_sum", "serinus_rows_total"))  # type: ignore[return-value]  # two names, two numbers


def _rows_of_model(found: _Found) -> list[Row]:
    rows = [
        beside(6, f"{found.case.name}: rows of a full batch", float(found.batch_rows)),
        beside(6, f"{found.case.name}: deadline, ten times a full batch", found.deadline_s * 1e3, "ms"),
    ]
    return rows + [row for way, repeats in found.repeats.items() for row in _rows_of_way(found.case, way, repeats)]


def _rows_of_way(case: Case, way: Way, repeats: list[_Repeat]) -> list[Row]:
    def spread(figure: Any) -> Spread:
        return Spread(tuple(figure(repeat) for repeat in repeats))

    name = f"{case.name}, {way.value}"
    rows = [beside(6, f"{name}: capacity, {_CALLERS} callers", spread(lambda each: each.capacity_per_s), "/s")]
    for level in _LEVELS:
        runs = [repeat.levels[level] for repeat in repeats]
        what = f"{name}: {level:g} x capacity"
        share = Spread(tuple(repeat.share(level) for repeat in repeats))
        figures = Figures.of(runs)
        rows += [
            at_least(6, f"{what}, goodput of capacity", share, _WANTED[level], void=void_of(runs)),
            Row(6, f"{what}: outcomes", ", ".join(f"{outcome} {count}" for outcome, count in figures.outcomes.items())),
            Row(
                6,
                f"{what}: p50 / p99 of answered; of refused; CPU a call, server / generator",
                f"{_two(figures.latency_s)}; {_two(figures.reject_latency_s)}; "
                f"{figures.server_cpu_us.median:.0f} / {figures.generator_cpu_us.median:.0f} us",
            ),
        ]
    return [
        *rows,
        at_most(6, f"{name}: rows run at 10 x whose callers had gone", spread(lambda each: each.wasted), 0.01),
    ]


def _limits(found: _Found, left: Mapping[float, Spread]) -> list[Row]:
    """What an echo leaves of the machine at each level, and how much of that unary calls were answered with."""
    rows: list[Row] = []
    for level, limit in left.items():
        share = Spread(tuple(repeat.share(level) for repeat in found.repeats[Way.UNARY]))
        what = f"{found.case.name}, unary: {level:g} x capacity"
        rows += [
            beside(6, f"{what}: limit: what a bare grpc.aio echo of as many calls leaves of the model", limit),
            beside(6, f"{what}, goodput of that limit", share.over(limit), "x"),
        ]
    return rows


def _two(latencies: Any) -> str:
    return f"{latencies[50.0].median * 1e3:.1f} / {latencies[99.0].median * 1e3:.1f} ms"


def _draw(plan: Plan, found: _Found) -> None:
    plan.results.mkdir(parents=True, exist_ok=True)
    lines = {
        way.value: [Figures.of([repeat.levels[level] for repeat in repeats]) for level in _LEVELS]
        for way, repeats in found.repeats.items()
    }
    save_goodput(plan.results / "overload_goodput.png", lines, capacity_per_s=found.capacity_per_s())
    save_latencies(plan.results / "overload_latency.png", lines)
