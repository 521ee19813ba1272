"""Aim 2: what a call costs when the SDK puts many into one message, against a unary call of the SDK."""

import asyncio
import tempfile
from pathlib import Path

import numpy as np

from harness.models import tiny
from harness.plan import Plan
from harness.processes import ServerProcess, serinus_server
from harness.rows import Row, at_least, at_most, beside
from serinus.bench.load import closed_loop
from serinus.bench.run import Run
from serinus.bench.spread import Spread
from serinus.bench.transports import frames_call
from serinus_client import NO_RETRIES, AsyncClient, Transport

_CALLERS = (16, 64, 256)


def measure(plan: Plan) -> list[Row]:
    """Interleaved runs."""
    unary: list[Run] = []
    frames: dict[int, list[Run]] = {callers: [] for callers in _CALLERS}
    with (
        tempfile.TemporaryDirectory() as folder,
        serinus_server(f"tiny={tiny(Path(folder))}", flags=plan.server_flags) as server,
    ):
        for _ in range(plan.repeats):
            unary.append(asyncio.run(_load(server, Transport.UNARY, 16, plan.calls)))
            for callers, runs in frames.items():
                runs.append(asyncio.run(_load(server, Transport.FRAMES, callers, plan.calls * 8)))
    named = {
        "SDK unary, 16 callers": unary,
        **{f"SDK frames, {callers} callers": runs for callers, runs in frames.items()},
    }
    figures = [
        ("server CPU a call", "us", _server_us),
        ("caller's CPU a call", "us", _caller_us),
        ("calls a second", "/s", _rate),
        ("rows in a run, mean", "", _batch_rows),
    ]
    most = frames[max(_CALLERS)]
    faster = Spread.of(most, _rate).over(Spread.of(unary, _rate))
    return [
        *(
            beside(2, f"{name}: {what}", Spread.of(runs, figure), unit)
            for name, runs in named.items()
            for what, unit, figure in figures
        ),
        at_most(2, "frames, 256 callers: server CPU a call", Spread.of(most, _server_us), 25, "us"),
        at_least(2, "frames, 256 callers: calls a second against own unary", faster, 10, "x"),
    ]


def _server_us(run: Run) -> float:
    return run.server_cpu_us


def _caller_us(run: Run) -> float:
    return run.generator_cpu_us


def _rate(run: Run) -> float:
    return run.throughput_per_s


def _batch_rows(run: Run) -> float:
    return float(run.batch_rows.mean())


async def _load(server: ServerProcess, transport: Transport, callers: int, calls: int) -> Run:
    async with AsyncClient(server.target, transport=transport, retry=NO_RETRIES) as client:
        call = frames_call(client, "tiny", [{"x": np.ones((1, 8), np.float32)}])
        return await closed_loop(call, callers=callers, calls=calls, meter=server.meter)
