"""Aim 12: what a neighbour's calls notice while 100 MiB are registered, and while they are loaded."""

import asyncio
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np

from harness.models import layered, tiny
from harness.plan import Plan
from harness.processes import SERINUS, ServerProcess, serinus_server
from harness.rows import Row, at_most
from harness.steady import failures, steady
from serinus.bench.run import Run, pooled_latency_s
from serinus.bench.spread import Spread
from serinus.bench.transports import Way, opened
from serinus_client import AsyncClient

_MIB = 100
_PER_S = 200.0
_CALM_S = 5.0
_BUSY = "while True: pass"
_LOADS = 5
_BEFORE, _BUSY_CORE = "before", "one core busy with another program"
_REGISTER, _LOAD = "register", f"{_LOADS} times load and unload"


@dataclasses.dataclass(frozen=True)
class _Phase:
    """The neighbour's calls while something went on, and for how many seconds it did."""

    calls: Run
    seconds: float


def measure(plan: Plan) -> list[Row]:
    """Each repeat registers and loads another 100 MiB; what any other busy program does stands beside it."""
    found: list[dict[str, _Phase]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serinus_server(f"tiny={tiny(Path(folder))}", state=Path(folder, "state")) as server,
    ):
        # The first version of a model would be loaded at once.
        asyncio.run(_run(_register_command(server, layered(Path(folder, "first.onnx"), 1, 0), "1.0.0")))
        for repeat in range(1, plan.repeats + 1):
            path = layered(Path(folder, "model.onnx"), _MIB, repeat)
            found.append(asyncio.run(_repeat(server, path, f"1.0.{repeat}")))
    return [row for name in found[0] for row in _rows(name, found)]


def _rows(name: str, found: list[dict[str, _Phase]]) -> list[Row]:
    phases = [each[name] for each in found]
    runs = [phase.calls for phase in phases]
    calls = sum(run.calls for run in runs)
    figures = ", ".join(f"{label} {pooled_latency_s(runs, percent) * 1e3:.2f}" for label, percent in _SHOWN)
    rows = [Row(12, f"neighbour, {name}: {calls} calls", f"{figures} ms")]
    if name in {_REGISTER, _LOAD}:
        before = [each[_BEFORE].calls for each in found]
        ratio = Spread.of(runs, _p99_s).over(Spread.of(before, _p99_s))
        failed = failures(runs)
        seconds = statistics.median(phase.seconds for phase in phases)
        rows += [
            at_most(12, f"neighbour, {name}: p99 against before", ratio, 2, "x"),
            at_most(12, f"neighbour, {name}: failed {failed}".rstrip(), float(sum(run.failed for run in runs)), 0),
            Row(12, f"{name} of {_MIB} MiB beside those calls", f"{seconds:.2f} s"),
        ]
    return rows


def _p99_s(run: Run) -> float:
    return run.latency_s(99)


_SHOWN = (("p50", 50), ("p99", 99), ("longest", 100))


async def _repeat(server: ServerProcess, path: Path, version: str) -> dict[str, _Phase]:
    async with (
        opened(server.target, "tiny", [{"x": np.ones((1, 8), np.float32)}], Way.OIP) as call,
        AsyncClient(server.target) as client,
    ):

        async def beside(work: Callable[[], Awaitable[object]]) -> _Phase:
            is_over, began = asyncio.Event(), time.perf_counter()

            async def worked() -> float:
                try:
                    await work()
                    return time.perf_counter() - began
                finally:
                    is_over.set()

            calls, seconds = await asyncio.gather(steady(call, _PER_S, until=is_over), worked())
            return _Phase(calls, seconds)

        async def load_again_and_again() -> None:
            # One load is over before a hundred calls: their p99 would be the slowest of them.
            for _ in range(_LOADS):
                await client.admin.load_model("large", version)
                await client.admin.unload_model("large", version)

        await steady(call, _PER_S, 1.0)
        return {
            _BEFORE: await beside(lambda: asyncio.sleep(_CALM_S)),
            _BUSY_CORE: await beside(_busy),
            # In a process of its own: else the caller's hashing would hold up the calls that are timed.
            _REGISTER: await beside(lambda: _run(_register_command(server, path, version))),
            _LOAD: await beside(load_again_and_again),
        }


def _register_command(server: ServerProcess, path: Path, version: str) -> list[str]:
    said = ["large", str(path), "--version", version, "--server", server.target, "--json"]
    return [SERINUS, "models", "register", *said]


async def _run(command: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    if code := await process.wait():
        raise RuntimeError(f"{' '.join(command)} ended with {code}")


async def _busy() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _BUSY)
    try:
        await asyncio.sleep(_CALM_S)
    finally:
        process.kill()
        await process.wait()
