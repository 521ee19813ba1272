"""A million calls, no two alike: `python benchmarks/soak/identity.py [--frames 900000] [--unary 100000]`.

All at once, in frames and one by one, of mixed rows and lengths, so that the batcher joins and splits them in ever
other ways. Each must get its own rows back, and be counted once. Exits with 1 where that does not hold.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from standing import MODEL, conclude, given_back, held, machine, say, soaked

from harness.metrics import counted
from harness.processes import ServerProcess
from serinus.core.dtypes import DType
from serinus_client import AsyncClient, SerinusError, Transport
from tests.support import models

_CLIENTS = 2  # of each transport
_CALLERS = {Transport.FRAMES: 128, Transport.UNARY: 24}  # of each client
_ROWS = (1, 2, 3, 1, 5, 1, 8, 2)  # of calls in turn
_LENGTHS = (2, 2, 7, 2, 16)  # those of equal length share runs
_MOST_NUMBERS = 1 << 10  # in one call
_SAY_EVERY = 50_000
_WARM_CALLS = 20_000


@dataclasses.dataclass
class Tally:
    """What came back.

    Attributes:
        answers: Calls that were answered.
        mismatches: Numbers of calls that got something else than their own rows.
        failures: Why others were not answered.
    """

    answers: int = 0
    mismatches: list[int] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)


def payload(number: int) -> npt.NDArray[np.int64]:
    """INT64 [rows, length], each number of which no other call has."""
    rows, length = _ROWS[number % len(_ROWS)], _LENGTHS[number % len(_LENGTHS)]
    return np.arange(rows * length, dtype=np.int64).reshape(rows, length) + number * _MOST_NUMBERS


async def _call(client: AsyncClient, numbers: Iterator[int], tally: Tally) -> None:
    for number in numbers:
        sent = payload(number)
        try:
            got = (await client.predict(MODEL, {"x": sent}))["y"]
        except SerinusError as error:
            tally.failures.append(f"{number}: {type(error).__name__}: {error}")
            continue
        tally.answers += 1
        if got.shape != sent.shape or got.tobytes() != sent.tobytes():
            tally.mismatches.append(number)
        if tally.answers % _SAY_EVERY == 0:
            say(f"{tally.answers} answers, {len(tally.mismatches)} mismatches, {len(tally.failures)} failures")


@contextlib.asynccontextmanager
async def _clients(server: ServerProcess) -> AsyncIterator[list[tuple[Transport, AsyncClient]]]:
    async with contextlib.AsyncExitStack() as block:
        yield [
            (way, await block.enter_async_context(AsyncClient(server.target, transport=way)))
            for way in _CALLERS
            for _ in range(_CLIENTS)
        ]


async def call_all(server: ServerProcess, first: int, calls: dict[Transport, int]) -> Tally:
    """Make so many calls of each transport, all at the same time, with numbers from `first`."""
    tally, numbers = Tally(), {}
    for way, count in calls.items():
        numbers[way] = iter(range(first, first + count))  # shared by the callers of its way
        first += count
    async with _clients(server) as clients, asyncio.TaskGroup() as callers:
        for way, client in clients:
            for _ in range(_CALLERS[way]):
                callers.create_task(_call(client, numbers[way], tally))
    return tally


def _identity(folder: Path) -> Path:
    path = folder / "identity.onnx"
    path.write_bytes(models.identity(DType.INT64, ("N", "L")))
    return path


def main(
    frames: Annotated[int, typer.Option(min=1000)] = 900_000,
    unary: Annotated[int, typer.Option(min=1000)] = 100_000,
    results: Annotated[Path | None, typer.Option(help="Where the figures are written.")] = None,
) -> None:
    """Call, and look at each answer."""
    facts = machine()
    calls = frames + unary
    with soaked(model=_identity) as server:
        share = _WARM_CALLS / calls
        warm_up = {Transport.FRAMES: round(frames * share), Transport.UNARY: round(unary * share)}
        asyncio.run(call_all(server, calls, warm_up))
        before = held(server)
        requests, runs = (counted(server, name, model=MODEL) for name in _COUNTERS)
        began = time.monotonic()
        tally = asyncio.run(call_all(server, 0, {Transport.FRAMES: frames, Transport.UNARY: unary}))
        seconds = time.monotonic() - began
        requests, runs = (
            counted(server, name, model=MODEL) - earlier
            for name, earlier in zip(_COUNTERS, (requests, runs), strict=True)
        )
        after, faults = given_back(server, before)
    if tally.mismatches:
        faults.append(f"{len(tally.mismatches)} calls got another's rows, such as {tally.mismatches[:10]}")
    if tally.failures:
        faults.append(f"{len(tally.failures)} calls failed, such as {tally.failures[0]}")
    if not tally.answers + len(tally.failures) == requests == calls:
        faults.append(f"{calls} calls, of which {tally.answers} were answered, and {requests:.0f} counted")
    if not runs < calls:
        faults.append("no calls shared a run: nothing could have been mixed up")
    conclude(
        "identity",
        facts,
        {
            "calls_in_frames": frames,
            "unary_calls": unary,
            "seconds": round(seconds, 1),
            "answers": tally.answers,
            "mismatches": len(tally.mismatches),
            "failed": len(tally.failures),
            "counted_by_the_server": round(requests),
            "runs": round(runs),
            "fds": [before.fds, after.fds],
            "rss_mib": [round(before.rss_mib, 1), round(after.rss_mib, 1)],
        },
        faults,
        results,
    )


_COUNTERS = ("serinus_requests_total", "serinus_batches_total")

if __name__ == "__main__":
    typer.run(main)
