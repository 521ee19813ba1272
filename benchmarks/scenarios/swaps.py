"""Aim 11: a thousand hot swaps under load: which calls fail, and what a neighbour's calls notice."""

import asyncio
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import grpc.aio
import numpy as np

from harness.load import raw_unary
from harness.models import infer_message, tiny
from harness.paced import Paced, elapsed, joined, paced
from harness.processes import ServerProcess, serinus_server
from harness.report import Row
from open_inference import grpc_service_pb2 as oip
from scenarios.aliases import MOVED, register_pair
from scenarios.unary import INFER
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
    calm: Paced
    neighbour: Paced
    swapped: Paced
    cores_before: float
    cores: float

    @property
    def ratio(self) -> float:
        """The neighbour's p99 with swaps against without."""
        return self.neighbour.percentile_ms(99) / self.calm.percentile_ms(99)


def measure(repeats: int, _calls: int) -> list[Row]:
    """Swaps between loaded versions take turns with swaps that load one version and unload the other."""
    found: dict[str, list[_Storm]] = {"loaded": [], "loading": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        serinus_server(f"tiny={tiny(Path(folder))}", state=Path(folder, "state")) as server,
    ):
        asyncio.run(register_pair(server, Path(folder), "loaded", keep_both=True))
        asyncio.run(register_pair(server, Path(folder), "loading", keep_both=False))
        for _ in range(repeats):
            for model, storms in found.items():
                storms.append(asyncio.run(_storm(server, model, -(-_SWAPS // repeats))))
    what = {"loaded": "both loaded", "loading": "loading one, unloading the other"}
    return [row for model, storms in found.items() for row in _rows(what[model], storms)]


def _rows(what: str, storms: list[_Storm]) -> list[Row]:
    swapped, neighbour = (joined([getattr(each, name) for each in storms]) for name in ("swapped", "neighbour"))
    calm = joined([each.calm for each in storms])
    swaps = sum(each.swaps for each in storms)
    failures = swapped.failures + neighbour.failures + calm.failures
    ratios = [each.ratio for each in storms]
    return [
        Row(11, f"{what}: swaps", f"{swaps}, {statistics.median(each.swaps_per_s for each in storms):.1f} a second"),
        Row(
            11,
            f"{what}: failed of {swapped.calls} calls to it and {neighbour.calls} to the neighbour",
            f"{swapped.failed} and {neighbour.failed}" + "".join(f"; {n} x {text}" for text, n in failures.items()),
            "0",
        ),
        Row(11, f"{what}: the swapped model's p50 / p99", _percentiles(swapped)),
        Row(11, f"{what}: the neighbour's p50 / p99 before", _percentiles(calm)),
        Row(11, f"{what}: the neighbour's p50 / p99 during", _percentiles(neighbour)),
        Row(
            11,
            f"{what}: the neighbour's p99 ratio, median (of each repeat)",
            f"{statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})",
            "<= 2",
        ),
        Row(
            11,
            f"{what}: cores that the server keeps busy, before / during",
            f"{statistics.median(each.cores_before for each in storms):.2f}"
            f" / {statistics.median(each.cores for each in storms):.2f}",
        ),
    ]


def _percentiles(calls: Paced) -> str:
    return f"{calls.percentile_ms(50):.2f} / {calls.percentile_ms(99):.2f} ms"


class _Swapped:
    """The calls of the swapped model, which tell which version answers."""

    def __init__(self, channel: grpc.aio.Channel, model: str) -> None:
        self._call = raw_unary(channel, INFER, infer_message(model, "x", np.ones((1, 512), np.float32), "FP32"))
        self._number = ""
        self._changed = asyncio.Event()

    async def __call__(self) -> None:
        answer = oip.ModelInferResponse.FromString(await self._call())
        if answer.model_version != self._number:
            self._number = answer.model_version
            self._changed.set()

    async def answers_with(self, number: int) -> None:
        """Wait for that version's first answer."""
        while self._number != str(number):
            self._changed.clear()
            await self._changed.wait()


async def _storm(server: ServerProcess, model: str, swaps: int) -> _Storm:
    async with grpc.aio.insecure_channel(server.target) as channel, AsyncClient(server.target) as client:
        swapped = _Swapped(channel, model)
        message = infer_message("tiny", "x", np.ones((1, 8), np.float32), "FP32")
        neighbour = raw_unary(channel, INFER, message)

        async def load(until: asyncio.Event) -> tuple[Paced, Paced, float]:
            cpu_s, began = server.cpu_s(), time.perf_counter()
            runs = await asyncio.gather(
                paced(neighbour, per_s=_NEIGHBOUR_PER_S, until=until),
                paced(swapped, per_s=_SWAPPED_PER_S, until=until),
            )
            return *runs, (server.cpu_s() - cpu_s) / (time.perf_counter() - began)

        await load(await elapsed(1.0))
        calm, _, cores_before = await load(await elapsed(_CALM_S))
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
