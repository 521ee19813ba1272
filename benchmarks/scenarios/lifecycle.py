"""Aim 7: from the start of the process to the first answer, and what a hot swap does to the calls of others."""

import asyncio
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import grpc.aio
import numpy as np

from harness.load import Load, closed_loop, raw_unary
from harness.models import infer_message, magika, tiny
from harness.processes import ServerProcess, serinus_server
from harness.report import Row
from open_inference import grpc_service_pb2 as oip
from scenarios.unary import INFER

_LOAD = "/inference.GRPCInferenceService/RepositoryModelLoad"
_SWAPS = 5


def measure(repeats: int, calls: int) -> list[Row]:
    """Start-up of a server with magika, then swaps of magika under calls to it and to a neighbour."""
    firsts = [asyncio.run(_first_answer()) for _ in range(repeats)]
    calm, stormy, swapped = asyncio.run(_swaps(calls))
    return [
        Row(7, "magika: start to first answer", f"{statistics.median(firsts):.2f} s", "<= 2 s"),
        Row(
            7,
            f"magika: failed of {swapped.calls + swapped.failed} calls during {_SWAPS} swaps",
            f"{swapped.failed}",
            "0",
        ),
        Row(7, "neighbour: failed calls during the swaps", f"{stormy.failed}", "0"),
        Row(
            7,
            "neighbour: p99 without and with swaps",
            f"{calm.percentile_ms(99):.2f} / {stormy.percentile_ms(99):.2f} ms",
        ),
        Row(7, "neighbour: p99 ratio", f"{stormy.percentile_ms(99) / calm.percentile_ms(99):.2f}", "<= 2"),
    ]


async def _first_answer() -> float:
    """Seconds from starting the process to an answer."""
    began = time.perf_counter()
    with serinus_server(f"magika={magika()}") as server:
        async with grpc.aio.insecure_channel(server.target) as channel:
            await channel.unary_unary(INFER)(_magika_message())
        return time.perf_counter() - began


async def _swaps(calls: int) -> tuple[Load, Load, Load]:
    """The neighbour's load beside magika's, without and with swaps, and magika's load with them."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        target = root / "repository" / "magika" / "1"
        target.mkdir(parents=True)
        shutil.copy(magika(), target / "model.onnx")
        with serinus_server(f"tiny={tiny(root)}", flags=("--model-repository", str(root / "repository"))) as server:
            async with grpc.aio.insecure_channel(server.target) as channel:
                calm, _ = await asyncio.gather(
                    _neighbour(server, channel, calls), _magika(server, channel, max(50, calls // 40))
                )
                reload = channel.unary_unary(_LOAD)

                async def swap() -> None:
                    for _ in range(_SWAPS):
                        await reload(oip.RepositoryModelLoadRequest(model_name="magika").SerializeToString())

                stormy, swapped, _ = await asyncio.gather(
                    _neighbour(server, channel, calls), _magika(server, channel, max(50, calls // 40)), swap()
                )
    return calm, stormy, swapped


async def _neighbour(server: ServerProcess, channel: grpc.aio.Channel, calls: int) -> Load:
    message = infer_message("tiny", "x", np.ones((1, 8), np.float32), "FP32")
    return await closed_loop(server, raw_unary(channel, INFER, message), callers=2, calls=calls)


async def _magika(server: ServerProcess, channel: grpc.aio.Channel, calls: int) -> Load:
    return await closed_loop(server, raw_unary(channel, INFER, _magika_message()), callers=1, calls=calls)


def _magika_message() -> bytes:
    return infer_message("magika", "bytes", np.zeros((1, 2048), np.int32), "INT32")
