"""Aim 2: what a call costs when the SDK puts many into one message, against a unary call of the SDK."""

import asyncio
import statistics
import tempfile
from pathlib import Path

import numpy as np

from harness.load import Load, closed_loop
from harness.models import tiny
from harness.processes import ServerProcess, serinus_server
from harness.report import Row
from serinus_client import AsyncClient, Transport

_CALLERS = (16, 64, 256)


def measure(repeats: int, calls: int) -> list[Row]:
    """Interleaved runs; each figure is the median of its repeats."""
    unary: list[Load] = []
    frames: dict[int, list[Load]] = {callers: [] for callers in _CALLERS}
    with tempfile.TemporaryDirectory() as folder, serinus_server(f"tiny={tiny(Path(folder))}") as server:
        for _ in range(repeats):
            unary.append(asyncio.run(_load(server, Transport.UNARY, 16, calls)))
            for callers, runs in frames.items():
                runs.append(asyncio.run(_load(server, Transport.FRAMES, callers, calls * 8)))
    rows = [Row(2, "SDK unary, 16 callers", _figures(unary))]
    rows.extend(Row(2, f"SDK frames, {callers} callers", _figures(runs)) for callers, runs in frames.items())
    cpu = statistics.median(run.server_cpu_us for run in frames[256])
    faster = statistics.median(run.calls_per_s for run in frames[256]) / statistics.median(
        run.calls_per_s for run in unary
    )
    rows.append(Row(2, "frames, 256 callers: server CPU a call", f"{cpu:.1f} us", "<= 25 us"))
    rows.append(Row(2, "frames, 256 callers: calls/s against own unary", f"{faster:.1f} x", ">= 10 x"))
    return rows


def _figures(runs: list[Load]) -> str:
    cpu = statistics.median(run.server_cpu_us for run in runs)
    rate = statistics.median(run.calls_per_s for run in runs)
    return f"{cpu:.1f} us CPU a call, {rate:.0f}/s"


async def _load(server: ServerProcess, transport: Transport, callers: int, calls: int) -> Load:
    row = np.ones((1, 8), np.float32)
    async with AsyncClient(server.target, transport=transport) as client:
        return await closed_loop(server, lambda: client.predict("tiny", {"x": row}), callers=callers, calls=calls)
