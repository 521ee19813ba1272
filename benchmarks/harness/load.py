"""Closed-loop callers: each sends its next call when it has the answer to the last."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable

import grpc.aio
import numpy as np

from harness.processes import ServerProcess

Call = Callable[[], Awaitable[object]]


@dataclasses.dataclass(frozen=True)
class Load:
    """What one run of callers saw.

    Attributes:
        calls: Answered calls.
        failed: Calls that raised.
        seconds: From the first call to the last answer.
        server_cpu_us: CPU time of the server for one call, in microseconds.
        latencies_s: Of each answered call.
    """

    calls: int
    failed: int
    seconds: float
    server_cpu_us: float
    latencies_s: np.ndarray

    @property
    def calls_per_s(self) -> float:
        """Answered calls a second."""
        return self.calls / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """Of the latencies, in milliseconds."""
        return float(np.percentile(self.latencies_s, percent) * 1e3)


async def closed_loop(server: ServerProcess, call: Call, *, callers: int, calls: int) -> Load:
    """`calls` calls from `callers` callers, after a twentieth of them to warm up."""
    await _callers(call, callers, max(callers, calls // 20))
    cpu_s, began = server.cpu_s(), time.perf_counter()
    latencies, failed = await _callers(call, callers, calls)
    seconds = time.perf_counter() - began
    return Load(
        calls=len(latencies),
        failed=failed,
        seconds=seconds,
        server_cpu_us=(server.cpu_s() - cpu_s) / calls * 1e6,
        latencies_s=np.array(latencies),
    )


async def _callers(call: Call, callers: int, calls: int) -> tuple[list[float], int]:
    latencies: list[float] = []
    left, failed = calls, 0

    async def caller() -> None:
        nonlocal left, failed
        while left > 0:
            left -= 1
            began = time.perf_counter()
            try:
                await call()
            except Exception:  # noqa: BLE001 - counted; a benchmark reports failures and goes on
                failed += 1
            else:
                latencies.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return latencies, failed


def raw_unary(channel: grpc.aio.Channel, method: str, message: bytes) -> Call:
    """A unary call that sends the same bytes each time, so that the client costs as little as it can."""
    call = channel.unary_unary(method)
    return lambda: call(message)
