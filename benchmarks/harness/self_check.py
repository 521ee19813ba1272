"""Shows on a real server that the generator sees a stall; see `serinus.bench.self_check`."""

import asyncio
import tempfile
from pathlib import Path

import numpy as np

from harness.models import tiny
from harness.processes import ServerProcess, serinus_server
from serinus.bench.run import Run
from serinus.bench.self_check import missed, stalled_run
from serinus.bench.transports import Way, opened


def check() -> int:
    """Stop a server for a second in each way to call it; the exit code."""
    problems = 0
    with tempfile.TemporaryDirectory() as folder, serinus_server(f"tiny={tiny(Path(folder))}") as server:
        for way in Way:
            run = asyncio.run(_stalled(server, way))
            found = missed(run)
            problems += len(found)
            print(f"{way.value}: p50 {run.latency_s(50) * 1e3:.1f} ms, p99 {run.latency_s(99) * 1e3:.0f} ms", *found)
    return min(problems, 1)


async def _stalled(server: ServerProcess, way: Way) -> Run:
    async with opened(server.target, "tiny", [{"x": np.ones((1, 8), np.float32)}], way) as call:
        await call(0, 10.0)
        return await stalled_run(call, server.meter.pid)
