"""Aim 8: what an idle server holds beside the same model in a bare process, and whether it grows with shapes.

A server is several processes, which share the pages of the same program and libraries; these are in memory once, and
count once here. Added up process by process they would count for each: that sum stands beside.
"""

import asyncio
import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from harness.models import magika
from harness.plan import Plan
from harness.processes import ServerProcess, running, serinus_server
from harness.rows import Row, at_most, beside
from harness.shapes import MODEL, Growth, grow, varied
from serinus.bench.load import closed_loop
from serinus.bench.spread import Spread
from serinus.bench.transports import Way, opened

_INPUT = {"bytes": np.zeros((1, 2048), np.int32)}
_SETTLED_S = 4.0  # what is free is given back once a server has had nothing to do for two seconds
_LONG_ENOUGH_MIN = 20.0  # in less time one page of a pool is a slope
_BARE = """
import signal, sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for _ in range(10):
    session.run(None, {"bytes": numpy.zeros((1, 2048), numpy.int32)})
print(0, flush=True)
signal.pause()
"""


@dataclasses.dataclass(frozen=True)
class Held:
    """What processes hold when nothing is asked of them.

    Attributes:
        pages_mib: Shared pages counted once.
        rss_mib: Resident memory of each, added up.
    """

    pages_mib: float
    rss_mib: float


def measure(plan: Plan) -> list[Row]:
    """Both processes in turns; then minutes of shapes, an hour of them in the long version."""
    turns = [(_bare(), _idle(plan)) for _ in range(plan.repeats)]
    with tempfile.TemporaryDirectory() as folder:
        model = f"{MODEL}={varied(Path(folder))}"
        with serinus_server(model, flags=plan.server_flags) as server:
            growth = asyncio.run(_grown(server, plan.minutes))
    what = f"{growth.calls} calls of varied shapes in {plan.minutes:g} min"
    slope = growth.slope_mib_per_h
    return [
        beside(8, "magika in a bare process", _spread(bare.pages_mib for bare, _ in turns), "MiB"),
        beside(
            8, "idle server with magika, shared pages counted once", _spread(idle.pages_mib for _, idle in turns), "MiB"
        ),
        at_most(
            8,
            "idle server above the bare process, pages that its processes share counted once",
            _spread(idle.pages_mib - bare.pages_mib for bare, idle in turns),
            120,
            "MiB",
        ),
        beside(
            8,
            "idle server above the bare process, shared pages counted for each process",
            _spread(idle.rss_mib - bare.rss_mib for bare, idle in turns),
            "MiB",
        ),
        Row(
            8,
            f"{what}: memory after a third, at the end",
            f"{growth.mib[len(growth.mib) // 3]:.1f}, {growth.mib[-1]:.1f} MiB",
        ),
        at_most(8, f"{what}: slope", slope, 1, "MiB/h")
        if plan.minutes >= _LONG_ENOUGH_MIN
        else beside(8, f"{what}: slope, too short a time to judge it", slope, "MiB/h"),
        at_most(8, f"{what}: failed", float(growth.failed), 0),
    ]


async def _grown(server: ServerProcess, minutes: float) -> Growth:
    async def look_mib() -> float:
        return server.rss_mib()

    return await grow(server.target, minutes, look_mib)


def _spread(values: Iterable[float]) -> Spread:
    return Spread(tuple(values))


def _bare() -> Held:
    """The model in a process that has nothing else to do, after a few runs."""
    with running([sys.executable, "-c", _BARE, str(magika())]) as bare:
        return _held(bare)


def _idle(plan: Plan) -> Held:
    """A server after a few calls."""
    with serinus_server(f"magika={magika()}", flags=plan.server_flags) as server:

        async def few() -> None:
            async with opened(server.target, "magika", [_INPUT], Way.OIP) as call:
                await closed_loop(call, callers=1, calls=10)

        asyncio.run(few())
        time.sleep(_SETTLED_S)
        return _held(server)


def _held(server: ServerProcess) -> Held:
    return Held(server.pages_mib(), server.rss_mib())
