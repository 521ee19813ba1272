"""Aim 11: a thousand hot swaps under load: which calls fail, and what a neighbour's calls notice."""

import asyncio
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np

from harness.models import tiny
from harness.plan import Plan
from harness.processes import ServerProcess, serinus_server
from harness.rows import Row, at_most
from harness.steady import failures, percentiles, steady
from open_inference import grpc_service_pb2 as oip
from scenarios.aliases import MOVED, register_pair
from serinus.bench.messages import oip_message
from serinus.bench.run import Run
from serinus.bench.spread import Spread
from serinus.bench.transports import INFER, Way, channel, opened
from serinus_client import AsyncClient

_SWAPS = 1000  # over all repeats
_AT_MOST_S = 90.0  # in each repeat; a slow machine does fewer, and the table says how many
_CALM_S = 5.0
_NEIGHBOUR_PER_S, _SWAPPED_PER_S = 200.0, 100.0  # about a third of two cores, callers included


@dataclasses.dataclass(frozen=True)
class _Storm:
    """One repeat: calls without swaps, then calls with.

    Attributes:
        swaps: That took effect.
        swaps_per_s: How fast.
        calm: The neighbour's calls before.
        neighbour: Its calls meanwhile.
        swapped: Calls of the swapped model meanwhile.
        cores_before: Cores that the server kept busy before.
        cores: And meanwhile.
    """

    swaps: int
    swaps_per_s: float
    calm: Run
    neighbour: Run
    swapped: Run
    cores_before: float
    cores: float


def measure(plan: Plan) -> list[Row]:
    """Swaps between loaded versions take turns with swaps that load one version and unload the other."""
    found: dict[str, list[_Storm]] = {"loaded": [], "loading": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        serinus_server(f"tiny={tiny(Path(folder))}", state=Path(folder, "state")) as server,
    ):
        asyncio.run(register_pair(server, Path(folder), "loaded", keep_both=True))
        asyncio.run(register_pair(server, Path(folder), "loading", keep_both=False))
        for _ in range(plan.repeats):
            for model, storms in found.items():
                storms.append(asyncio.run(_storm(server, model, -(-_SWAPS // plan.repeats))))
    what = {"loaded": "both loaded", "loading": "loading one, unloading the other"}
    return [row for model, storms in found.items() for row in _rows(what[model], storms)]


def _rows(what: str, storms: list[_Storm]) -> list[Row]:
    swapped, neighbour, calm = ([getattr(each, name) for each in storms] for name in ("swapped", "neighbour", "calm"))
    swaps = sum(each.swaps for each in storms)
    runs = [*swapped, *neighbour, *calm]
    ratio = Spread.of(neighbour, _p99_s).over(Spread.of(calm, _p99_s))
    return [
        Row(11, f"{what}: swaps", f"{swaps}, {statistics.median(each.swaps_per_s for each in storms):.1f} a second"),
        at_most(
            11,
            f"{what}: failed of {sum(run.calls for run in runs)} calls {failures(runs)}".rstrip(),
            float(sum(run.failed for run in runs)),
            0,
        ),
        Row(11, f"{what}: the swapped model's p50 / p99", percentiles(swapped)),
        Row(11, f"{what}: the neighbour's p50 / p99 before", percentiles(calm)),
        Row(11, f"{what}: the neighbour's p50 / p99 during", percentiles(neighbour)),
        at_most(11, f"{what}: the neighbour's p99 during against before", ratio, 2, "x"),
        Row(
            11,
            f"{what}: cores that the server keeps busy, before / during",
            f"{statistics.median(each.cores_before for each in storms):.2f}"
            f" / {statistics.median(each.cores for each in storms):.2f}",
        ),
    ]


def _p99_s(run: Run) -> float:
    return run.latency_s(99)


class _Swapped:
    """The calls of the swapped model, which tell which version answers."""

    def __init__(self, channel: grpc.aio.Channel, model: str) -> None:
        self._call: Any = channel.unary_unary(INFER)
        self._message = oip_message(model, {"x": np.ones((1, 512), np.float32)})
        self._number = ""
        self._changed = asyncio.Event()

    async def __call__(self, _number: int, timeout_s: float, /) -> int:
        """Make one call."""
        answer = oip.ModelInferResponse.FromString(await self._call(self._message, timeout=timeout_s))
        if answer.model_version != self._number:
            self._number = answer.model_version
            self._changed.set()
        return 0

    async def answers_with(self, number: int) -> None:
        """Wait for that version's first answer."""
        while self._number != str(number):
            self._changed.clear()
            await self._changed.wait()


async def _storm(server: ServerProcess, model: str, swaps: int) -> _Storm:
    async with (
        channel(server.target) as open_channel,
        opened(server.target, "tiny", [{"x": np.ones((1, 8), np.float32)}], Way.OIP) as neighbour,
        AsyncClient(server.target) as client,
    ):
        swapped = _Swapped(open_channel, model)

        async def load(until: asyncio.Event | None, seconds: float = _AT_MOST_S * 2) -> tuple[Run, Run, float]:
            cpu_s, began = server.cpu_s(), time.perf_counter()
            runs = await asyncio.gather(
                steady(neighbour, _NEIGHBOUR_PER_S, seconds, until=until),
                steady(swapped, _SWAPPED_PER_S, seconds, until=until),
            )
            return *runs, (server.cpu_s() - cpu_s) / (time.perf_counter() - began)

        await load(None, 1.0)
        calm, _, cores_before = await load(None, _CALM_S)
        is_over = asyncio.Event()
        (stormy, under_swaps, cores), (done, seconds) = await asyncio.gather(
            load(is_over), _swap(client, model, swapped, swaps, is_over)
        )
    return _Storm(done, done / seconds, calm, stormy, under_swaps, cores_before, cores)


async def _swap(
    client: AsyncClient, model: str, swapped: _Swapped, swaps: int, is_over: asyncio.Event
) -> tuple[int, float]:
    """Move `stable` to and fro, each time when the last move has taken effect; how often, and in how many seconds."""
    began, done = time.perf_counter(), 0
    try:
        current = (await client.registry.version(model, "stable")).version_number
        while done < swaps and time.perf_counter() - began < _AT_MOST_S:
            current = 3 - current
            await client.registry.set_alias(model, "stable", MOVED[current - 1])
            await asyncio.wait_for(swapped.answers_with(current), 30)
            done += 1
        return done, time.perf_counter() - began
    finally:
        is_over.set()
