"""Aim 5: what one caller waits for, against the same model run in the caller's own process.

What the machine does by itself stands beside it: one caller of a bare `grpc.aio` echo in the same minute.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime

from harness.models import magika, tiny
from harness.plan import Plan
from harness.processes import ServerProcess, echo_server, serinus_server
from harness.rows import Row, at_most, beside
from models.load import answering
from scenarios.unary import ECHO
from serinus.bench.load import closed_loop
from serinus.bench.messages import oip_message
from serinus.bench.run import Run
from serinus.bench.spread import Spread
from serinus.bench.transports import Way, channel, opened, raw_call

_FEWEST_CALLS = 1000
"""Of a slow model: ten of them are above the 99th percentile of a repeat."""
_IN_PROCESS_CALLS = 100  # of which the median counts


class _Case(NamedTuple):
    """A model, what to send it, and how often."""

    path: Path
    inputs: dict[str, npt.NDArray[Any]]
    calls: int


def measure(plan: Plan) -> list[Row]:
    """Rows for the tiny model and for magika, each with the run in process and the echo of its bytes beside it."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        content = np.random.default_rng(0).integers(0, 256, (1, 2048), np.int32)
        cases = {
            "tiny": _Case(tiny(Path(folder)), {"x": np.ones((1, 8), np.float32)}, plan.calls),
            "magika": _Case(magika(), {"bytes": content}, max(_FEWEST_CALLS, plan.calls // 10)),
        }
        models = [f"{name}={case.path}" for name, case in cases.items()]
        with serinus_server(*models, flags=plan.server_flags) as server, echo_server("uvloop") as echo:
            for name, case in cases.items():
                rows += _rows(name, server, echo, case, plan)
    return rows


def _rows(name: str, server: ServerProcess, echo: ServerProcess, case: _Case, plan: Plan) -> list[Row]:
    alone_ms: list[float] = []
    runs: list[Run] = []
    echoes: list[Run] = []
    for _ in range(plan.repeats):
        alone_ms.append(float(np.median(_in_process_s(case, plan.session_providers))) * 1e3)
        runs.append(asyncio.run(_one_caller(server, name, case)))
        echoes.append(asyncio.run(_one_caller_of_echo(echo, name, case)))
    alone = Spread(tuple(alone_ms))
    p50, p99 = _latencies_ms(runs)
    echo_p50, echo_p99 = _latencies_ms(echoes)
    above = Spread(tuple(ours - theirs for ours, theirs in zip(p50.values, alone.values, strict=True)))
    return [
        beside(5, f"{name}: in process, one thread, p50", alone, "ms"),
        beside(5, f"{name}: one caller, p50 of {case.calls} calls", p50, "ms"),
        beside(5, f"{name}: one caller, p99", p99, "ms"),
        beside(5, f"{name}: bare grpc.aio echo of the same bytes, one caller, p50", echo_p50, "ms"),
        beside(
            5, f"{name}: bare grpc.aio echo of the same bytes, one caller, p99 over p50", echo_p99.over(echo_p50), "x"
        ),
        at_most(5, f"{name}: one caller, p50 above in process", above, 1.5, "ms"),
        at_most(5, f"{name}: one caller, p99 over p50", p99.over(p50), 2, "x"),
    ]


def _latencies_ms(runs: list[Run]) -> tuple[Spread, Spread]:
    """The median and the 99th percentile of each run."""
    p50, p99 = (Spread(tuple(run.latency_s(percent) * 1e3 for run in runs)) for percent in (50, 99))
    return p50, p99


def _in_process_s(case: _Case, providers: list[str]) -> list[float]:
    """Seconds of each run, with the session settings that the server uses."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(case.path, options, providers=providers)
    session.run(None, case.inputs)
    seconds: list[float] = []
    for _ in range(_IN_PROCESS_CALLS):
        began = time.perf_counter()
        session.run(None, case.inputs)
        seconds.append(time.perf_counter() - began)
    return seconds


async def _one_caller(server: ServerProcess, model: str, case: _Case) -> Run:
    async with opened(server.target, model, [case.inputs], Way.OIP) as call, answering():
        return await closed_loop(call, callers=1, calls=case.calls, meter=server.meter)


async def _one_caller_of_echo(server: ServerProcess, model: str, case: _Case) -> Run:
    async with channel(server.target) as open_channel, answering():
        call = raw_call(open_channel, ECHO, [oip_message(model, case.inputs)])
        return await closed_loop(call, callers=1, calls=case.calls, meter=server.meter)
