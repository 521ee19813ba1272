"""Workers killed under load: `python benchmarks/soak/worker_kills.py [--minutes 5] [--every 3] [--workers 2]`.

Callers of the SDK, with its default retries, must notice nothing; the number of workers must be whole again each time
within five seconds, and nothing of the dead may stay. Exits with 1 where that does not hold.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from standing import INPUTS, MODEL, conclude, given_back, held, machine, say, soaked

from harness.processes import ServerProcess
from serinus_client import AsyncClient, SerinusError, Transport

_CLIENTS = 3  # of each transport
_PAUSE_S = 0.005
_BACK_S = 5.0
_LOOK_S = 0.05
# Deaths are to be no reason to keep the model out, which was running at each.
_CONFIG = "[workers]\nmost_deaths = 1000\nlongest_backoff_s = 0.5\n"


class Callers:
    """Call without end, and note what became of it.

    Attributes:
        answered: Calls that were.
        failures: Why others were not.
        longest_s: The longest that an answered call took.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self.longest_s = 0.0

    async def call(self, client: AsyncClient) -> None:
        """One of them."""
        while True:
            began = time.monotonic()
            try:
                await client.predict(MODEL, INPUTS)
                self.answered += 1
                self.longest_s = max(self.longest_s, time.monotonic() - began)
            except SerinusError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(_PAUSE_S)


async def _ready(server: ServerProcess, count: int, seconds: float) -> float:
    """Seconds until so many workers are ready; inf if they are not in time."""
    began = time.monotonic()
    async with AsyncClient(server.target) as client:
        while time.monotonic() < began + seconds:
            with contextlib.suppress(SerinusError):
                workers = (await client.admin.server_status()).workers
                if sum(worker.ready for worker in workers) == count:
                    return time.monotonic() - began
            await asyncio.sleep(_LOOK_S)
    return float("inf")


async def kill(server: ServerProcess, workers: int, minutes: float, every_s: float) -> tuple[Callers, Sequence[float]]:
    """What callers saw, and how long each place was empty."""
    callers, empty_s = Callers(), []
    async with contextlib.AsyncExitStack() as block:
        tasks = []
        for transport in [Transport.FRAMES, Transport.UNARY] * _CLIENTS:
            client = await block.enter_async_context(AsyncClient(server.target, transport=transport))
            tasks.append(asyncio.create_task(callers.call(client)))
        until = time.monotonic() + minutes * 60
        while time.monotonic() < until:
            await asyncio.sleep(random.uniform(0.5, 1.5) * every_s)
            pid = random.choice(_workers(server))
            os.kill(pid, signal.SIGKILL)
            while pid in server.meter.pids():  # noqa: ASYNC110 - the system knows it alone
                await asyncio.sleep(_LOOK_S)
            empty_s.append(await _ready(server, workers, 10 * _BACK_S))
            seen = f"{callers.answered} answered, {len(callers.failures)} failed"
            say(f"{len(empty_s)} killed, back after {empty_s[-1]:.2f} s; {seen}")
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return callers, empty_s


def _workers(server: ServerProcess) -> list[int]:
    """The processes below the supervisor that serve; helpers of multiprocessing do not listen."""
    top = server.meter.pids()[0]
    text = Path(f"/proc/{top}/task/{top}/children").read_text()
    return [pid for pid in map(int, text.split()) if "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()]


def main(
    minutes: Annotated[float, typer.Option(min=0.1)] = 5.0,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between kills, half to one and a half of it.")] = 3.0,
    workers: Annotated[int, typer.Option(min=2)] = 2,
    results: Annotated[Path | None, typer.Option(help="Where the figures are written.")] = None,
) -> None:
    """Kill, and look at the callers."""
    facts = machine()
    with soaked(_CONFIG, workers) as server:
        before = held(server)
        callers, empty_s = asyncio.run(kill(server, workers, minutes, every))
        after, faults = given_back(server, before)
    if callers.failures:
        faults.append(f"{len(callers.failures)} calls failed, such as {callers.failures[0]}")
    if max(empty_s) > _BACK_S:
        faults.append(f"a worker was back after {max(empty_s):.1f} s only")
    conclude(
        "worker_kills",
        facts,
        {
            "minutes": minutes,
            "kills": len(empty_s),
            "answered": callers.answered,
            "failed": len(callers.failures),
            "longest_call_s": round(callers.longest_s, 2),
            "longest_without_a_worker_s": round(max(empty_s), 2),
            "fds": [before.fds, after.fds],
            "rss_mib": [round(before.rss_mib, 1), round(after.rss_mib, 1)],
        },
        faults,
        results,
    )


if __name__ == "__main__":
    typer.run(main)
