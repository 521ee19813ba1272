"""Aim 4: what it gains that sentences share runs with those about as long, and are not all filled up to the longest."""

import asyncio
import dataclasses

from harness.plan import Plan
from harness.rows import Row, at_least, beside
from models import cases
from models.case import Case
from models.in_process import InProcess
from models.load import alone_per_s, load
from models.serving import serving
from serinus.bench.run import Run
from serinus.bench.spread import Spread
from serinus.bench.transports import Way

_CALLERS = 32
_LONGEST = 128  # tokens: what a server fills up to that is told nothing of the lengths
_ROWS = 32
_WHOLE_RUNS = f"ONNX Runtime in process on {_ROWS} calls a run as they come, filled up to the longest of the run"


def measure(plan: Plan) -> list[Row]:
    """The same sentences three ways, in turns; the server learns all of them before."""
    ours = cases.minilm()
    longest = ours.padded_to(_LONGEST)  # all alike, and slow: half of them say as much
    longest = dataclasses.replace(longest, inputs=longest.inputs[::2])
    ways = {
        "lengths as they come": ours,
        "lengths as they come, padding not declared": dataclasses.replace(
            ours, name="minilm-undeclared", padding={}, unpadding={}
        ),
        f"all filled up to {_LONGEST} tokens": dataclasses.replace(longest, name="minilm-longest"),
    }
    runs: dict[str, list[Run]] = {what: [] for what in ways}
    alone = InProcess(_whole_runs(ours), plan.session_providers)
    in_process: list[float] = []
    with serving([*ways.values()], plan.server_flags) as server:
        for repeat in range(plan.repeats + 1):
            for what, case in ways.items():
                run = asyncio.run(load(server, case, Way.FRAMES, callers=_CALLERS, calls=_calls(case)))
                if repeat:
                    runs[what].append(run)
            if repeat:
                in_process.append(alone.speed(alone.one_by_one(), plan.seconds / 2).rows_per_s * _ROWS)
    rates = {what: Spread.of(found, alone_per_s) for what, found in runs.items()}
    mixed, undeclared, filled_up = rates.values()
    return [
        *(beside(4, f"minilm, {_CALLERS} callers, {what}: calls a second", rates[what], "/s") for what in ways),
        *(
            beside(4, f"minilm, {what}: server CPU a call", Spread.of(found, lambda run: run.server_cpu_us), "us")
            for what, found in runs.items()
        ),
        *(beside(4, f"minilm, {what}: rows in a run, mean", Spread.of(found, _rows)) for what, found in runs.items()),
        beside(4, "minilm: calls a second against no padding", mixed.over(undeclared), "x"),
        beside(4, f"minilm: calls a second against {_WHOLE_RUNS}", mixed.over(Spread((*in_process,))), "x"),
        at_least(4, f"minilm: calls a second against all of {_LONGEST} tokens", mixed.over(filled_up), 1.3, "x"),
    ]


def _whole_runs(case: Case) -> Case:
    """A call for each run that a batcher would make that takes whatever waits."""
    runs = [case.joined(case.inputs[start : start + _ROWS]) for start in range(0, len(case.inputs), _ROWS)]
    return dataclasses.replace(case, inputs=runs, is_joinable=False, padding={})


def _calls(case: Case) -> int:
    return len(case.inputs)


def _rows(run: Run) -> float:
    return float(run.batch_rows.mean())
