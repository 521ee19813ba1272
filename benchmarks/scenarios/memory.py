"""Aim 8: what an idle server holds beside the same model in a bare process, and whether it grows with shapes."""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from harness.models import magika
from harness.plan import Plan
from harness.processes import serinus_server
from harness.rows import Row, at_most, beside
from harness.shapes import MODEL, grow, varied
from serinus.bench.load import closed_loop
from serinus.bench.spread import Spread
from serinus.bench.transports import Way, opened

_INPUT = {"bytes": np.zeros((1, 2048), np.int32)}
_SETTLED_S = 1.0
_LONG_ENOUGH_MIN = 20.0  # in less time one page of a pool is a slope
_BARE = """
import sys, os, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for _ in range(10):
    session.run(None, {"bytes": numpy.zeros((1, 2048), numpy.int32)})
print(int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
"""


def measure(plan: Plan) -> list[Row]:
    """Both processes in turns; then minutes of shapes, an hour of them in the long version."""
    bare_mib: list[float] = []
    idle_mib: list[float] = []
    for _ in range(plan.repeats):
        said = subprocess.run([sys.executable, "-c", _BARE, str(magika())], check=True, capture_output=True, text=True)
        bare_mib.append(float(said.stdout))
        idle_mib.append(_idle_mib(plan))
    bare, idle = Spread(tuple(bare_mib)), Spread(tuple(idle_mib))
    above = Spread(tuple(ours - theirs for ours, theirs in zip(idle_mib, bare_mib, strict=True)))
    with tempfile.TemporaryDirectory() as folder:
        model = f"{MODEL}={varied(Path(folder))}"
        with serinus_server(model, flags=plan.server_flags) as server:
            growth = asyncio.run(grow(server, plan.minutes))
    what = f"{growth.calls} calls of varied shapes in {plan.minutes:g} min"
    slope = growth.slope_mib_per_h
    return [
        beside(8, "magika in a bare process", bare, "MiB"),
        beside(8, "idle server with magika", idle, "MiB"),
        at_most(8, "idle server above the bare process", above, 120, "MiB"),
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


def _idle_mib(plan: Plan) -> float:
    with serinus_server(f"magika={magika()}", flags=plan.server_flags) as server:

        async def few() -> None:
            async with opened(server.target, "magika", [_INPUT], Way.OIP) as call:
                await closed_loop(call, callers=1, calls=10)

        asyncio.run(few())
        time.sleep(_SETTLED_S)
        return server.rss_mib()
