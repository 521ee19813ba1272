"""Shows that the generator sees a stall: stops a server for a second in the middle of a run, and looks for it.

A generator that waits for answers before it sends on would report one slow call and miss the hundreds that came in the
meantime. Here every call that was due during the stall has waited, and the percentiles say so.
"""

import asyncio
import os
import signal

import numpy as np

from serinus.bench.calls import Call
from serinus.bench.load import open_loop
from serinus.bench.run import Run
from serinus.bench.schedules import poisson

STALL_S = 1.0
_CALLS = 800
_TIMES_THE_STALL = 4  # a run takes; the stall begins after a quarter of it
_SEEN = 0.9  # of the stall: the first calls after its beginning wait for all of it


async def stalled_run(call: Call, pid: int, *, stall_s: float = STALL_S) -> Run:
    """An open loop during which the process `pid` is stopped for a while; it runs again in any case."""

    async def stall() -> None:
        await asyncio.sleep(stall_s)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(stall_s)
        finally:
            os.kill(pid, signal.SIGCONT)

    duration_s = _TIMES_THE_STALL * stall_s
    times = poisson(_CALLS / duration_s, duration_s)(np.random.default_rng(0))
    run, _ = await asyncio.gather(open_loop(call, times, duration_s=duration_s), stall())
    return run


def missed(run: Run, *, stall_s: float = STALL_S) -> list[str]:
    """What a run with such a stall should show and does not, as sentences; [] when it shows all of it."""
    found: list[str] = []
    wanted_s = _SEEN * stall_s
    for name, percent in (("p99", 99.0), ("longest", 100.0)):
        if not run.latency_s(percent) >= wanted_s:
            found.append(
                f"{name} is {run.latency_s(percent) * 1e3:.0f} ms after a stall of {stall_s * 1e3:.0f} ms, "
                f"expected at least {wanted_s * 1e3:.0f} ms"
            )
    # Calls come evenly, so those due during the stall have waited half of it on average.
    share = 1 / _TIMES_THE_STALL / 2
    waited = float((run.latencies_s > stall_s / 2).mean()) if run.answered else 0.0
    if waited < share / 2:
        found.append(f"{waited:.1%} of the calls waited for half of the stall, expected about {share:.1%}")
    if run.void:
        found.append(run.void)
    return found
