"""What merely answering so many calls leaves of the machine: the limit of every server that is reached by `grpc.aio`.

A bare echo takes the calls of an overload, open loop, from the same generator, while ONNX Runtime computes in a process
beside it as fast as it is let. What it computes, of what it does alone, is the most that a server on these cores could
answer which has to answer or refuse each call. The echo's messages are small; a model's take longer to read.
"""

import asyncio
import concurrent.futures
import dataclasses
import multiprocessing
import os
from collections.abc import Mapping
from typing import Self

import numpy as np

from harness.processes import ServerProcess, echo_server
from models.case import Case
from models.in_process import InProcess
from serinus.bench.load import open_loop
from serinus.bench.schedules import poisson
from serinus.bench.spread import Spread
from serinus.bench.transports import channel, raw_call

_ECHO = "/bench.Echo/Call"
_MESSAGES = [bytes([number]) * 128 for number in range(16)]
_NICER = 5  # as the server's own threads that compute: whoever answers calls goes first
_INPUTS = 16  # of the case's: rows are counted in passes over all of them, which must be short
_LEAD_S = 0.3  # the calls begin before the computing and end after it


class Computing:
    """A process that runs a model, one row on each core, when it is told to. A context manager."""

    def __init__(self, case: Case) -> None:
        self._case = dataclasses.replace(case, inputs=case.inputs[:_INPUTS])
        spawning = multiprocessing.get_context("spawn")
        self._process = concurrent.futures.ProcessPoolExecutor(1, spawning, initializer=os.nice, initargs=(_NICER,))

    def __enter__(self) -> Self:
        self.start(0.0).result()  # imports what it needs
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.shutdown(cancel_futures=True)

    def start(self, seconds: float) -> "concurrent.futures.Future[float]":
        """Rows a second, once it has computed for so long."""
        return self._process.submit(_rows_per_s, self._case, seconds)


def left_by_level(
    case: Case, calls_per_s: Mapping[float, float], *, repeats: int, seconds: float, deadline_s: float
) -> Mapping[float, Spread]:
    """Of the rows a second that the model makes alone, the part that it makes while so many calls are echoed.

    Args:
        case: The model.
        calls_per_s: Calls by the name that the answer has for them.
        repeats: Of each, which take turns.
        seconds: Of computing, for each.
        deadline_s: What each call gets.
    """
    parts: dict[float, list[float]] = {level: [] for level in calls_per_s}
    with Computing(case) as computing, echo_server("uvloop") as server:
        for _ in range(repeats):
            alone_per_s = computing.start(seconds).result()
            for level, rate_per_s in calls_per_s.items():
                rows_per_s = asyncio.run(_beside(server, computing, rate_per_s, seconds, deadline_s))
                parts[level].append(rows_per_s / alone_per_s)
    return {level: Spread(tuple(each)) for level, each in parts.items()}


async def _beside(
    server: ServerProcess, computing: Computing, rate_per_s: float, seconds: float, deadline_s: float
) -> float:
    """Rows a second beside so many echoes."""
    enough = asyncio.Event()
    rng = np.random.default_rng(0)
    longest_s = 4 * (seconds + _LEAD_S)
    async with channel(server.target) as connection:
        echoes = asyncio.create_task(
            open_loop(
                raw_call(connection, _ECHO, _MESSAGES),
                poisson(rate_per_s, longest_s)(rng),
                duration_s=longest_s,
                deadline_s=deadline_s,
                until=enough,
            )
        )
        await asyncio.sleep(_LEAD_S)
        try:
            return await asyncio.wrap_future(computing.start(seconds))
        finally:
            enough.set()
            await echoes


def _rows_per_s(case: Case, seconds: float) -> float:
    model = InProcess(case, ["CPUExecutionProvider"])  # the limit of these cores, whatever else the server may have
    return model.speed(model.one_by_one(), seconds).rows_per_s
