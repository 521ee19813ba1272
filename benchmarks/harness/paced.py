"""Calls at a fixed rate, however long the answers take: a stall counts for every call that it delays."""

import asyncio
import collections
import dataclasses
import time

import grpc
import numpy as np

from harness.load import Call

_TIMER_S = 0.0015  # asyncio rounds its timers up to a millisecond; what is later than that is a delay


@dataclasses.dataclass(frozen=True)
class Paced:
    """What one run of calls saw.

    Attributes:
        failures: How often each failure came, by what it said.
        latencies_s: Of each answered call, from when it was due.
    """

    failures: collections.Counter[str]
    latencies_s: np.ndarray

    @property
    def calls(self) -> int:
        """All of them."""
        return len(self.latencies_s) + self.failed

    @property
    def failed(self) -> int:
        """Calls that raised."""
        return self.failures.total()

    def percentile_ms(self, percent: float) -> float:
        """Of the latencies, in milliseconds."""
        return float(np.percentile(self.latencies_s, percent) * 1e3)


def joined(runs: list[Paced]) -> Paced:
    """All calls of some runs."""
    failures: collections.Counter[str] = collections.Counter()
    for run in runs:
        failures.update(run.failures)
    return Paced(failures, np.concatenate([run.latencies_s for run in runs]))


async def paced(call: Call, *, per_s: float, until: asyncio.Event) -> Paced:
    """`per_s` calls a second until the event; returns when all of them have ended."""
    latencies: list[float] = []
    failures: collections.Counter[str] = collections.Counter()

    async def one(due: float) -> None:
        try:
            await call()
        except grpc.aio.AioRpcError as error:
            failures[f"{error.code().name} {error.details()}"] += 1
        except Exception as error:  # noqa: BLE001 - counted; a benchmark reports failures and goes on
            failures[f"{type(error).__name__} {error}"] += 1
        else:
            latencies.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as tasks:
        due = time.perf_counter()
        while not until.is_set():
            due += 1 / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            now = time.perf_counter()
            tasks.create_task(one(due if now - due > _TIMER_S else now))
    return Paced(failures, np.array(latencies))


async def elapsed(seconds: float) -> asyncio.Event:
    """An event that is set after so many seconds."""
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, event.set)
    return event
