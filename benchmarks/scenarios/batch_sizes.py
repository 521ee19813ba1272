"""Aim 3, in part: the server finds how many rows a run should have, where large runs win and where they lose."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.plan import Plan
from harness.processes import ServerProcess
from harness.rows import Row, at_least, beside
from models import cases
from models.case import Case
from models.in_process import InProcess
from models.load import alone_per_s, answering, load
from models.serving import serving
from scenarios.model_bound import against_itself
from serinus.bench.load import open_loop
from serinus.bench.plots import save_batch_sizes
from serinus.bench.run import Run
from serinus.bench.schedules import ramp
from serinus.bench.spread import Spread
from serinus.bench.transports import Way, opened

PLOT = "batch_sizes.png"
_CALLERS = (64,)  # fewer cannot fill the runs that are best
_BY_HAND = (1, 32)  # rows that somebody might set
_CLIMB_S = 4.0
_DEADLINE_S = 1.0  # of calls that climb past what can be answered
_LATE = 0.75  # of a climb: the server has seen what it needs


class _Climb(NamedTuple):
    """Calls at a rate that rises evenly from nothing.

    Attributes:
        case: The model.
        rows: In a run that is about the best in process.
        share: Of the rows a second of such runs, offered at the end: more than the server answers beside its callers.
    """

    case: Case
    rows: int
    share: float


def measure(plan: Plan) -> list[Row]:
    """Two climbs while the server has seen no call; then Silero against itself, and against bounds set by hand."""
    wins, loses = cases.silero(), cases.ocr_recognition()
    by_hand = [dataclasses.replace(wins, name=f"{wins.name}-{rows}", max_rows=rows) for rows in _BY_HAND]
    with serving([wins, loses, *by_hand], plan.server_flags) as server:
        climbs = {
            each.case.name: asyncio.run(_climbing(server, each, plan))
            for each in (_Climb(wins, rows=32, share=0.35), _Climb(loses, rows=1, share=1.2))
        }
        rows = against_itself(wins, server, plan, _CALLERS)
        rows += _against_by_hand(wins, by_hand, server, plan)
    plan.results.mkdir(parents=True, exist_ok=True)
    save_batch_sizes(plan.results / PLOT, climbs)
    return rows + [_climbed(name, run) for name, run in climbs.items()]


async def _climbing(server: ServerProcess, climb: _Climb, plan: Plan) -> Run:
    case, in_process = climb.case, InProcess(climb.case, plan.session_providers)
    limit = in_process.speed(dataclasses.replace(in_process.one_by_one(), rows=climb.rows), plan.seconds / 4).rows_per_s
    times = ramp(0.0, climb.share * limit, _CLIMB_S)(np.random.default_rng(0))
    async with opened(server.target, case.name, case.inputs, Way.FRAMES) as call, answering():
        return await open_loop(call, times, duration_s=_CLIMB_S, deadline_s=_DEADLINE_S, meter=server.meter)


def _climbed(name: str, run: Run) -> Row:
    is_late = (run.notes.batch_rows > 0) & (run.notes.ended_s > _LATE * run.end_s)
    rows = float(np.median(run.notes.batch_rows[is_late])) if is_late.any() else float("nan")
    what = f"{name}: rows of a run at the end of a climb from no calls, as the median of its calls saw them"
    return dataclasses.replace(beside(3, what, rows), why=run.void)


def _against_by_hand(case: Case, by_hand: Sequence[Case], server: ServerProcess, plan: Plan) -> list[Row]:
    found: dict[str, list[Run]] = {each.name: [] for each in (case, *by_hand)}
    calls = 2 * plan.calls
    for repeat in range(plan.repeats + 1):
        for each in (case, *by_hand):
            run = asyncio.run(load(server, each, Way.FRAMES, callers=_CALLERS[-1], calls=calls))
            if repeat:  # the first one is for the server to learn from
                found[each.name].append(run)
    rates = {name: Spread.of(runs, alone_per_s) for name, runs in found.items()}
    ours = rates.pop(case.name)
    best = max(rates.values(), key=lambda rate: rate.median)
    name = f"{case.name}, {_CALLERS[-1]} callers"
    return [
        *(
            beside(3, f"{name}: calls a second against runs of at most {each.max_rows} rows", ours.over(rate), "x")
            for each, rate in zip(by_hand, rates.values(), strict=True)
        ),
        at_least(
            3, f"{name}: calls a second against the best of these bounds, set by hand", ours.over(best), 0.95, "x"
        ),
    ]
