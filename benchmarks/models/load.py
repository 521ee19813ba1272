"""Callers of a model who send all that there is to send equally often, so that no run has the shorter half."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from harness.processes import ServerProcess
from models.case import Case
from serinus.bench.load import closed_loop
from serinus.bench.run import Run
from serinus.bench.transports import Way, opened

_HUNG_S = 120.0
"""No run of the plan takes half of it; a server that hangs would keep each caller for half a minute a call."""


async def load(server: ServerProcess, case: Case, way: Way, *, callers: int, calls: int) -> Run:
    """About `calls` calls, each input as often as any other.

    Raises:
        TimeoutError: the server hangs.
    """
    turns = max(1, round(calls / len(case.inputs)))
    async with opened(server.target, case.name, case.inputs, way) as call, answering():
        return await closed_loop(call, callers=callers, calls=turns * len(case.inputs), meter=server.meter)


@contextlib.asynccontextmanager
async def answering(limit_s: float = _HUNG_S) -> AsyncIterator[None]:
    """Ends a block of calls that takes far longer than any should.

    Raises:
        TimeoutError: it did.
    """
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise TimeoutError(f"not all calls were answered within {limit_s:g} s") from error


def alone_per_s(run: Run) -> float:
    """Calls a second that the server would answer if the callers' own processor time were its as well."""
    cores = os.cpu_count() or 1
    callers_share = run.generator_cpu_s / (run.seconds * cores)
    return run.throughput_per_s / (1 - callers_share)
