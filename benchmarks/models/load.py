"""Callers of a model who send all that there is to send equally often, so that no run has the shorter half."""

import os

from harness.processes import ServerProcess
from models.case import Case
from serinus.bench.load import closed_loop
from serinus.bench.run import Run
from serinus.bench.transports import Way, opened


async def load(server: ServerProcess, case: Case, way: Way, *, callers: int, calls: int) -> Run:
    """About `calls` calls, each input as often as any other."""
    turns = max(1, round(calls / len(case.inputs)))
    async with opened(server.target, case.name, case.inputs, way) as call:
        return await closed_loop(call, callers=callers, calls=turns * len(case.inputs), meter=server.meter)


def alone_per_s(run: Run) -> float:
    """Calls a second that the server would answer if the callers' own processor time were its as well."""
    cores = os.cpu_count() or 1
    callers_share = run.generator_cpu_s / (run.seconds * cores)
    return run.throughput_per_s / (1 - callers_share)
