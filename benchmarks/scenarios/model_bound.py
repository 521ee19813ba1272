"""Aim 3: what is lost between a model and its callers, when the model is what takes the time."""

import asyncio
import dataclasses
import sys

from harness.plan import Plan
from harness.processes import ServerProcess
from harness.rows import Row, at_least, at_most, beside, failed
from models import cases
from models.case import Case
from models.in_process import InProcess, Setting, Speed
from models.load import alone_per_s, load
from models.serving import serving
from peers.environments import PeerMissing
from peers.pytriton_peer import PYTRITON
from serinus.bench.run import Run
from serinus.bench.spread import Spread
from serinus.bench.transports import Way

_CALLERS = (4, 16, 32)
_COMPARED = 16  # callers against a server that batches to its limit, and on the model whose runs should stay small


def measure(plan: Plan) -> list[Row]:
    """Each model against itself in this process, then against a server that takes whatever waits into one run."""
    bound = [cases.magika(), cases.ocr_classifier(), cases.minilm()]
    small_runs = cases.ocr_recognition()
    rows: list[Row] = []
    with serving([*bound, small_runs], plan.server_flags) as server:
        for case in bound:
            rows += against_itself(case, server, plan, _CALLERS)
        rows += _small_runs(small_runs, server, plan)
        rows += _against_whole_batches(bound[0], server, plan)
    return rows


@dataclasses.dataclass(frozen=True)
class _Repeats:
    """One model in all repeats: in process, and served, by number of callers."""

    setting: Setting
    alone: list[Speed]
    served: dict[int, list[Run]]

    @property
    def rows_per_s(self) -> Spread:
        return Spread.of(self.alone, lambda speed: speed.rows_per_s)

    @property
    def cpu_us(self) -> Spread:
        return Spread.of(self.alone, lambda speed: speed.cpu_us)


def _repeats(case: Case, server: ServerProcess, plan: Plan, callers: tuple[int, ...], *, setting: Setting) -> _Repeats:
    found = _Repeats(setting, [], {each: [] for each in callers})
    alone, seconds = InProcess(case, plan.session_providers), plan.seconds / 2
    calls = min(round(alone.speed(setting, seconds).rows_per_s * seconds), 2 * plan.calls)
    asyncio.run(
        load(server, case, Way.FRAMES, callers=callers[-1], calls=calls)
    )  # the server learns costs from traffic
    for _ in range(plan.repeats):
        found.alone.append(alone.speed(setting, seconds))
        for each, runs in found.served.items():
            runs.append(asyncio.run(load(server, case, Way.FRAMES, callers=each, calls=calls)))
    return found


def against_itself(case: Case, server: ServerProcess, plan: Plan, callers: tuple[int, ...]) -> list[Row]:
    """What so many callers get from the server, against ONNX Runtime in this process at its best."""
    found = _repeats(case, server, plan, callers, setting=InProcess(case, plan.session_providers).best())
    rows = [
        beside(3, f"{case.name}: in process, {found.setting}: rows a second", found.rows_per_s, "/s"),
        beside(3, f"{case.name}: in process: CPU a row", found.cpu_us, "us"),
    ]
    for count, runs in found.served.items():
        name = f"{case.name}, {count} callers"
        cpu_us = Spread.of(runs, lambda run: run.server_cpu_us)
        rows += [
            beside(3, f"{name}: calls a second", Spread.of(runs, lambda run: run.throughput_per_s), "/s"),
            beside(3, f"{name}: rows in a run, mean", Spread.of(runs, lambda run: float(run.batch_rows.mean()))),
            at_most(3, f"{name}: server CPU a row against in process", cpu_us.over(found.cpu_us), 1.05, "x"),
            at_least(
                3,
                f"{name}: calls a second against in process, less what the callers use",
                Spread.of(runs, alone_per_s).over(found.rows_per_s),
                0.95,
                "x",
            ),
        ]
    return rows


def _small_runs(case: Case, server: ServerProcess, plan: Plan) -> list[Row]:
    found = _repeats(case, server, plan, (_COMPARED,), setting=InProcess(case, plan.session_providers).one_by_one())
    runs = found.served[_COMPARED]
    return [
        beside(3, f"{case.name}: in process, {found.setting}: rows a second", found.rows_per_s, "/s"),
        beside(3, f"{case.name}: rows in a run, mean", Spread.of(runs, lambda run: float(run.batch_rows.mean()))),
        beside(
            3,
            f"{case.name}: server CPU a row against in process",
            Spread.of(runs, lambda run: run.server_cpu_us).over(found.cpu_us),
            "x",
        ),
        at_least(
            3,
            f"{case.name}, {_COMPARED} callers: calls a second against one row at a time, less what the callers use",
            Spread.of(runs, alone_per_s).over(found.rows_per_s),
            0.95,
            "x",
        ),
    ]


def _against_whole_batches(case: Case, server: ServerProcess, plan: Plan) -> list[Row]:
    ours: list[Run] = []
    theirs: list[Run] = []
    try:
        with PYTRITON.serving(case) as peer:
            for _ in range(plan.repeats):
                for runs, each in ((ours, server), (theirs, peer)):
                    runs.append(asyncio.run(load(each, case, Way.OIP, callers=_COMPARED, calls=len(case.inputs))))
    except PeerMissing as missing:
        print(missing, file=sys.stderr)
        return [Row(3, f"{case.name}: p99 against whole batches", f"not measured: {missing}")]
    except TimeoutError as hung:
        return [failed(3, f"{case.name}: p99 against whole batches", str(hung))]
    p99, their_p99 = (Spread.of(runs, lambda run: run.latency_s(99) * 1e3) for runs in (ours, theirs))
    return [
        beside(3, f"{case.name}, {_COMPARED} callers: p99", p99, "ms"),
        beside(3, f"{case.name}, {_COMPARED} callers: p99 of {PYTRITON.name}, {PYTRITON.settings}", their_p99, "ms"),
        at_most(3, f"{case.name}: p99 against whole batches", p99.over(their_p99), 0.6, "x"),
    ]
