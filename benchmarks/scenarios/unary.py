"""Aim 1: what a unary OIP call of a tiny model costs, against a bare `grpc.aio` echo of the same bytes."""

import asyncio
import statistics
import tempfile
from pathlib import Path

import grpc.aio
import numpy as np

from harness.load import Load, closed_loop, raw_unary
from harness.models import infer_message, tiny
from harness.processes import ServerProcess, echo_server, serinus_server
from harness.report import Row
from peers.mlserver_peer import mlserver

INFER = "/inference.GRPCInferenceService/ModelInfer"
_CALLERS = 16


def measure(repeats: int, calls: int) -> list[Row]:
    """Interleaved runs of the servers; each figure is the median of its repeats."""
    with (
        tempfile.TemporaryDirectory() as folder,
        echo_server("asyncio") as plain,
        echo_server("uvloop") as fast,
        serinus_server(f"tiny={tiny(Path(folder))}") as serinus,
        mlserver("tiny", tiny(Path(folder))) as peer,
    ):
        message = infer_message("tiny", "x", np.ones((1, 8), np.float32), "FP32")
        servers = {
            "echo": (plain, "/bench.Echo/Call"),
            "echo, uvloop": (fast, "/bench.Echo/Call"),
            "serinus": (serinus, INFER),
            "mlserver": (peer, INFER),
        }
        runs: dict[str, list[Load]] = {name: [] for name in servers}
        for _ in range(repeats):
            for name, (server, method) in servers.items():
                runs[name].append(asyncio.run(_load(server, method, message, calls)))
    cpu = {name: statistics.median(run.server_cpu_us for run in loads) for name, loads in runs.items()}
    rate = {name: statistics.median(run.calls_per_s for run in loads) for name, loads in runs.items()}
    return [
        Row(1, "bare grpc.aio echo, asyncio", f"{cpu['echo']:.0f} us CPU a call, {rate['echo']:.0f}/s"),
        Row(1, "bare grpc.aio echo, uvloop", f"{cpu['echo, uvloop']:.0f} us CPU a call, {rate['echo, uvloop']:.0f}/s"),
        Row(1, "ModelInfer, tiny model", f"{cpu['serinus']:.0f} us CPU a call, {rate['serinus']:.0f}/s"),
        Row(1, "the same on MLServer 1.7.1", f"{cpu['mlserver']:.0f} us CPU a call, {rate['mlserver']:.0f}/s"),
        Row(1, "calls/s against MLServer", f"{rate['serinus'] / rate['mlserver']:.1f} x", ">= 2 x"),
        Row(1, "ratio to the echo on asyncio", f"{cpu['serinus'] / cpu['echo']:.2f}", "<= 1.25"),
        Row(1, "ratio to the echo on uvloop", f"{cpu['serinus'] / cpu['echo, uvloop']:.2f}", "<= 1.25"),
    ]


async def _load(server: ServerProcess, method: str, message: bytes, calls: int) -> Load:
    async with grpc.aio.insecure_channel(server.target) as channel:
        return await closed_loop(server, raw_unary(channel, method, message), callers=_CALLERS, calls=calls)
