"""Runs an ordered load, repeat after repeat, and shows how far it is."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from serinus.bench.calls import Call
from serinus.bench.load import closed_loop, open_loop
from serinus.bench.run import Run
from serinus.bench.server_use import Meter
from serinus.bench.transports import opened
from serinus.cli.bench.order import Order
from serinus.cli.progress import steps_progress
from serinus.cli.target import Server

_TICK_S = 0.5


async def run_order(
    order: Order, server: Server, model: str, inputs: Mapping[str, npt.NDArray[Any]], meter: Meter | None
) -> list[Run]:
    """One run for each repeat, each with its own draw of the schedule."""
    runs: list[Run] = []
    with steps_progress() as progress:
        ticking = asyncio.create_task(_tick(progress, order.seconds))
        try:
            for number in range(order.repeats):
                async with opened(
                    server.address, model, [inputs], order.way, connections=order.connections, tls=server.tls
                ) as call:
                    runs.append(await _run(order, call, meter, np.random.default_rng(number)))
        finally:
            ticking.cancel()
            await asyncio.wait((ticking,))
    return runs


async def _run(order: Order, call: Call, meter: Meter | None, rng: np.random.Generator) -> Run:
    if order.rate_per_s:
        return await open_loop(
            call,
            order.schedule()(rng),
            duration_s=order.warmup_s + order.duration_s,
            warmup_s=order.warmup_s,
            rows=order.rows,
            deadline_s=order.deadline_s,
            meter=meter,
        )
    return await closed_loop(
        call,
        callers=order.callers,
        duration_s=order.duration_s,
        warmup_s=order.warmup_s,
        rows=order.rows,
        deadline_s=order.deadline_s,
        meter=meter,
    )


async def _tick(progress: Progress, seconds: float) -> None:
    """Move the bar with the time; what the calls do is shown when it is over."""
    task = progress.add_task("Calling, seconds", total=round(seconds))
    began = asyncio.get_running_loop().time()
    while True:
        await asyncio.sleep(_TICK_S)
        progress.update(task, completed=min(round(seconds), int(asyncio.get_running_loop().time() - began)))
