"""Aim 6: more calls than can be answered, from callers who do not wait: what is answered in time, and how soon after.

Capacity is measured before and after each level: a machine that others use changes under it. Above it an ideal server
answers as many calls as ever; what the generator and the refusals themselves take from two cores is part of what is
measured.
"""

import asyncio
import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from harness.metrics import counted
from harness.models import magika
from harness.plan import Plan
from harness.processes import ServerProcess, serinus_server
from harness.rows import Row, at_least, at_most, beside, void_of
from serinus.bench.figures import Figures
from serinus.bench.load import closed_loop, open_loop
from serinus.bench.plots import save_goodput, save_latencies
from serinus.bench.run import LATE_S, Run
from serinus.bench.schedules import one_after_another, poisson
from serinus.bench.spread import Spread
from serinus.bench.transports import Way, opened

_MODEL = "magika"
_LEVELS = (0.5, 1.0, 2.0, 5.0, 10.0)
_WANTED = {1.0: 0.97, 2.0: 0.97, 5.0: 0.95, 10.0: 0.90}
_WAYS = (Way.FRAMES, Way.UNARY)
_CALLERS = 32
_WARMUP_S = 0.5
_CALM, _CALM_S = 0.5, 4.0  # share of the capacity after an overload, and for how long
_STEP_S = 0.25
_WELL = 0.99  # of the calls of a step are answered in time: the overload is over for callers
_DEADLINES = 10  # times the time of a full batch

_Inputs = Sequence[dict[str, npt.NDArray[Any]]]


@dataclasses.dataclass(frozen=True)
class _Repeat:
    """One repeat of one way.

    Attributes:
        capacities_per_s: Calls that callers who wait get answered, before each level and after the last one.
        levels: A run at each multiple of the capacity.
        recovery_s: From the end of ten times the capacity until calls are answered in time again.
        wasted: Rows that were run at ten times the capacity and whose callers had gone, as a share.
    """

    capacities_per_s: tuple[float, ...]
    levels: dict[float, Run]
    recovery_s: float
    wasted: float

    @property
    def capacity_per_s(self) -> float:
        """Over all of the repeat."""
        return statistics.median(self.capacities_per_s)

    def share(self, level: float) -> float:
        """Goodput at a multiple of the capacity, of what an ideal server would answer in time."""
        at, run = _LEVELS.index(level), self.levels[level]
        return run.goodput_per_s / min(run.offered_per_s, statistics.mean(self.capacities_per_s[at : at + 2]))


def measure(plan: Plan) -> list[Row]:
    """Ways take turns; plots go beside the results."""
    rng = np.random.default_rng(0)
    inputs = [{"bytes": rng.integers(0, 256, (1, 2048), np.int32)} for _ in range(16)]
    found: dict[Way, list[_Repeat]] = {way: [] for way in _WAYS}
    with serinus_server(f"{_MODEL}={magika()}", flags=plan.server_flags) as server:
        batch_rows = asyncio.run(_full_batch(server, inputs, plan.seconds))
        deadline_s = _DEADLINES * _run_s(inputs, batch_rows)
        for _ in range(plan.repeats):
            for way, repeats in found.items():
                repeats.append(asyncio.run(_repeat(server, way, inputs, plan.seconds, deadline_s, rng)))
    _draw(plan, found)
    rows = [
        beside(6, "rows of a full batch", float(batch_rows)),
        beside(6, "deadline, ten times a full batch", deadline_s * 1e3, "ms"),
    ]
    return rows + [row for way, repeats in found.items() for row in _rows(way, repeats)]


async def _full_batch(server: ServerProcess, inputs: _Inputs, seconds: float) -> int:
    """Rows of nine runs of ten, or fewer, when the server has learned and has as much to do as it can."""
    async with opened(server.target, _MODEL, inputs, Way.FRAMES) as call:
        full = await closed_loop(call, callers=_CALLERS, duration_s=seconds, warmup_s=seconds)
    return int(np.percentile(full.batch_rows, 90))


async def _repeat(
    server: ServerProcess, way: Way, inputs: _Inputs, seconds: float, deadline_s: float, rng: np.random.Generator
) -> _Repeat:
    async with opened(server.target, _MODEL, inputs, way) as call:

        async def capacity() -> float:
            run = await closed_loop(call, callers=_CALLERS, duration_s=seconds / 2, warmup_s=_WARMUP_S)
            return run.throughput_per_s

        capacities = [await capacity()]
        levels: dict[float, Run] = {}
        for level in _LEVELS:
            levels[level] = await open_loop(
                call,
                poisson(level * capacities[-1], _WARMUP_S + seconds)(rng),
                duration_s=_WARMUP_S + seconds,
                warmup_s=_WARMUP_S,
                deadline_s=deadline_s,
                meter=server.meter,
                late_s=_late_s(deadline_s),
            )
            capacities.append(await capacity())
        before = _rows_of(server)
        after = await _overload_then_calm(call, capacities[-1], seconds, deadline_s, rng)
        ran, answered = (now - then for now, then in zip(_rows_of(server), before, strict=True))
    wasted = max(0.0, ran - answered) / max(ran, 1.0)
    return _Repeat(tuple(capacities), levels, _recovery_s(after, seconds), wasted)


def _late_s(deadline_s: float) -> float:
    """A tenth of the deadline does not decide whether an answer is in time."""
    return max(LATE_S, deadline_s / 10)


def _run_s(inputs: _Inputs, rows: int) -> float:
    """Seconds of a run of so many rows in this process, on one thread as the server runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(magika(), options, providers=["CPUExecutionProvider"])
    batch = {"bytes": np.concatenate([inputs[row % len(inputs)]["bytes"] for row in range(rows)])}
    seconds: list[float] = []
    for _ in range(6):
        began = time.perf_counter()
        session.run(None, batch)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


async def _overload_then_calm(
    call: Any, capacity_per_s: float, seconds: float, deadline_s: float, rng: np.random.Generator
) -> Run:
    times = one_after_another(
        (poisson(max(_LEVELS) * capacity_per_s, seconds), seconds), (poisson(_CALM * capacity_per_s, _CALM_S), _CALM_S)
    )(rng)
    late_s = _late_s(deadline_s)
    return await open_loop(call, times, duration_s=seconds + _CALM_S, deadline_s=deadline_s, late_s=late_s)


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


def _rows_of(server: ServerProcess) -> tuple[float, float]:
    """Rows that were run so far, and rows of calls that were answered."""
    return tuple(counted(server, name, model=_MODEL) for name in ("serinus_batch_rows_sum", "serinus_rows_total"))  # type: ignore[return-value]  # two names, two numbers


def _rows(way: Way, repeats: list[_Repeat]) -> list[Row]:
    def spread(figure: Any) -> Spread:
        return Spread(tuple(figure(repeat) for repeat in repeats))

    rows = [
        beside(6, f"{way.value}: capacity, {_CALLERS} callers", spread(lambda each: each.capacity_per_s), "/s"),
    ]
    for level in _LEVELS:
        runs = [repeat.levels[level] for repeat in repeats]
        what = f"{way.value}: {level:g} x capacity"
        share = Spread(tuple(repeat.share(level) for repeat in repeats))
        if level in _WANTED:
            rows.append(at_least(6, f"{what}, goodput of capacity", share, _WANTED[level], void=void_of(runs)))
        else:
            rows.append(beside(6, f"{what}, goodput of what is offered", share))
        figures = Figures.of(runs)
        rows += [
            Row(6, f"{what}: outcomes", ", ".join(f"{outcome} {count}" for outcome, count in figures.outcomes.items())),
            Row(
                6,
                f"{what}: p50 / p99 of answered; of refused; server CPU a call",
                f"{_two(figures.latency_s)}; {_two(figures.reject_latency_s)}; {figures.server_cpu_us.median:.0f} us",
            ),
        ]
    return [
        *rows,
        at_most(6, f"{way.value}: recovery after 10 x capacity", spread(lambda each: each.recovery_s), 2, "s"),
        at_most(6, f"{way.value}: rows run at 10 x whose callers had gone", spread(lambda each: each.wasted), 0.01),
    ]


def _two(latencies: Any) -> str:
    return f"{latencies[50.0].median * 1e3:.1f} / {latencies[99.0].median * 1e3:.1f} ms"


def _draw(plan: Plan, found: dict[Way, list[_Repeat]]) -> None:
    plan.results.mkdir(parents=True, exist_ok=True)
    lines = {
        way.value: [Figures.of([repeat.levels[level] for repeat in repeats]) for level in _LEVELS]
        for way, repeats in found.items()
    }
    capacity = statistics.median(repeat.capacity_per_s for repeats in found.values() for repeat in repeats)
    save_goodput(plan.results / "overload_goodput.png", lines, capacity_per_s=capacity)
    save_latencies(plan.results / "overload_latency.png", lines)
