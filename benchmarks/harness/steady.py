"""Calls at a fixed rate while something else goes on, and what several such runs say together."""

import asyncio

import numpy as np

from serinus.bench.calls import Call
from serinus.bench.load import open_loop
from serinus.bench.run import Run, pooled_failures, pooled_latency_s
from serinus.bench.schedules import constant

_AT_MOST_S = 600.0


async def steady(call: Call, per_s: float, seconds: float = _AT_MOST_S, *, until: asyncio.Event | None = None) -> Run:
    """`per_s` calls a second for so long, or until the event; returns when all of them have ended."""
    times = constant(per_s, seconds)(np.random.default_rng(0))
    return await open_loop(call, times, duration_s=seconds, until=until)


def percentiles(runs: list[Run]) -> str:
    """Of all answered calls together."""
    return f"{pooled_latency_s(runs, 50) * 1e3:.2f} / {pooled_latency_s(runs, 99) * 1e3:.2f} ms"


def failures(runs: list[Run]) -> str:
    """What became of the calls that were not answered; "" when all were."""
    return ", ".join(f"{count} x {outcome}" for outcome, count in pooled_failures(runs).items())
