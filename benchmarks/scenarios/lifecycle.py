"""Aim 7: from the start of the process to the first answer, and what a hot swap does to the calls of others."""

import asyncio
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from harness.models import magika, tiny
from harness.plan import Plan
from harness.processes import ServerProcess, serinus_server
from harness.rows import Row, at_most, beside
from open_inference import grpc_service_pb2 as oip
from serinus.bench.load import closed_loop
from serinus.bench.messages import oip_message
from serinus.bench.run import Run
from serinus.bench.spread import Spread
from serinus.bench.transports import INFER, Way, channel, opened

_LOAD = "/inference.GRPCInferenceService/RepositoryModelLoad"
_SWAPS = 5
_TINY = {"x": np.ones((1, 8), np.float32)}
_MAGIKA = {"bytes": np.zeros((1, 2048), np.int32)}
_NEIGHBOURS = 2


def measure(plan: Plan) -> list[Row]:
    """Start-up of a server with magika, then swaps of magika under calls to it and to a neighbour."""
    firsts = Spread(tuple(asyncio.run(_first_answer_s(plan)) for _ in range(plan.repeats)))
    storms = asyncio.run(_all_swaps(plan))
    swapped_calls = sum(swapped.calls for _, _, swapped in storms)
    calm, stormy = (Spread(tuple(storm[at].latency_s(99) * 1e3 for storm in storms)) for at in (0, 1))
    return [
        at_most(7, "magika: start to first answer", firsts, 2, "s"),
        at_most(
            7,
            f"magika: failed of {swapped_calls} calls during {_SWAPS * plan.repeats} swaps",
            float(sum(swapped.failed for _, _, swapped in storms)),
            0,
        ),
        at_most(7, "neighbour: failed calls during the swaps", float(sum(run.failed for _, run, _ in storms)), 0),
        beside(7, "neighbour: p99 without swaps", calm, "ms"),
        beside(7, "neighbour: p99 with swaps", stormy, "ms"),
        at_most(7, "neighbour: p99 with swaps against without", stormy.over(calm), 2, "x"),
    ]


async def _first_answer_s(plan: Plan) -> float:
    """Seconds from starting the process to an answer."""
    began = time.perf_counter()
    with serinus_server(f"magika={magika()}", flags=plan.server_flags) as server:
        async with channel(server.target) as open_channel:
            await open_channel.unary_unary(INFER)(oip_message("magika", _MAGIKA), timeout=30.0)
        return time.perf_counter() - began


async def _all_swaps(plan: Plan) -> list[tuple[Run, Run, Run]]:
    """For each repeat the neighbour's calls beside magika's, without and with swaps, and magika's with them."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        target = root / "repository" / "magika" / "1"
        target.mkdir(parents=True)
        shutil.copy(magika(), target / "model.onnx")
        flags = (*plan.server_flags, "--model-repository", str(root / "repository"))
        with serinus_server(f"tiny={tiny(root)}", flags=flags) as server:
            return [await _swaps(server, plan.calls) for _ in range(plan.repeats)]


async def _swaps(server: ServerProcess, calls: int) -> tuple[Run, Run, Run]:
    async with (
        opened(server.target, "tiny", [_TINY], Way.OIP) as neighbour,
        opened(server.target, "magika", [_MAGIKA], Way.OIP) as magika_call,
        channel(server.target) as open_channel,
    ):
        reload = open_channel.unary_unary(_LOAD)

        async def swap() -> None:
            for _ in range(_SWAPS):
                await reload(oip.RepositoryModelLoadRequest(model_name="magika").SerializeToString(), timeout=60.0)

        async def both() -> tuple[Run, Run]:
            return await asyncio.gather(
                closed_loop(neighbour, callers=_NEIGHBOURS, calls=calls),
                closed_loop(magika_call, callers=1, calls=max(50, calls // 40)),
            )

        calm, _ = await both()
        (stormy, swapped), _ = await asyncio.gather(both(), swap())
    return calm, stormy, swapped
