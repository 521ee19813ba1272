"""Aim 12: what a neighbour's calls notice while 100 MiB are registered, and while they are loaded."""

import asyncio
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc.aio
import numpy as np

from harness.load import raw_unary
from harness.models import infer_message, layered, tiny
from harness.paced import Paced, elapsed, joined, paced
from harness.processes import SERINUS, ServerProcess, serinus_server
from harness.report import Row
from scenarios.unary import INFER
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

    calls: Paced
    seconds: float


def measure(repeats: int, _calls: int) -> list[Row]:
    """Each repeat registers and loads another 100 MiB; what any other busy program does stands beside it."""
    found: list[dict[str, _Phase]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serinus_server(f"tiny={tiny(Path(folder))}", state=Path(folder, "state")) as server,
    ):
        # The first version of a model would be loaded at once.
        asyncio.run(_run(_register_command(server, layered(Path(folder, "first.onnx"), 1, 0), "1.0.0")))
        for repeat in range(1, repeats + 1):
            path = layered(Path(folder, "model.onnx"), _MIB, repeat)
            found.append(asyncio.run(_repeat(server, path, f"1.0.{repeat}")))
    return [row for name in found[0] for row in _rows(name, found)]


def _rows(name: str, found: list[dict[str, _Phase]]) -> list[Row]:
    phases = [each[name] for each in found]
    calls = joined([phase.calls for phase in phases])
    figures = ", ".join(f"{label} {calls.percentile_ms(percent):.2f}" for label, percent in _SHOWN)
    rows = [Row(12, f"neighbour, {name}: {calls.calls} calls", f"{figures} ms")]
    if name is not _BEFORE:
        ratios = [each[name].calls.percentile_ms(99) / each[_BEFORE].calls.percentile_ms(99) for each in found]
        aim = "<= 2" if name in {_REGISTER, _LOAD} else ""
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        rows.append(Row(12, f"neighbour, {name}: p99 ratio", f"{statistics.median(ratios):.2f} ({each})", aim))
    if name in {_REGISTER, _LOAD}:
        rows.append(Row(12, f"neighbour, {name}: failed", f"{calls.failed}", "0"))
        seconds = statistics.median(phase.seconds for phase in phases)
        rows.append(Row(12, f"{name} of {_MIB} MiB beside those calls", f"{seconds:.2f} s"))
    return rows


_SHOWN = (("p50", 50), ("p99", 99), ("longest", 100))


async def _repeat(server: ServerProcess, path: Path, version: str) -> dict[str, _Phase]:
    async with grpc.aio.insecure_channel(server.target) as channel, AsyncClient(server.target) as client:
        message = infer_message("tiny", "x", np.ones((1, 8), np.float32), "FP32")
        call = raw_unary(channel, INFER, message)

        async def beside(work: Callable[[], Awaitable[object]]) -> _Phase:
            is_over, began = asyncio.Event(), time.perf_counter()

            async def worked() -> float:
                try:
                    await work()
                    return time.perf_counter() - began
                finally:
                    is_over.set()

            calls, seconds = await asyncio.gather(paced(call, per_s=_PER_S, until=is_over), worked())
            return _Phase(calls, seconds)

        async def load_again_and_again() -> None:
            # One load is over before a hundred calls: their p99 would be the slowest of them.
            for _ in range(_LOADS):
                await client.admin.load_model("large", version)
                await client.admin.unload_model("large", version)

        await paced(call, per_s=_PER_S, until=await elapsed(1.0))
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
