"""Aim 5: what one caller waits for, against the same model run in the caller's own process."""

import asyncio
import tempfile
import time
from pathlib import Path

import grpc.aio
import numpy as np
import onnxruntime

from harness.load import Load, closed_loop, raw_unary
from harness.models import infer_message, magika, tiny
from harness.processes import ServerProcess, serinus_server
from harness.report import Row
from scenarios.unary import INFER


def measure(repeats: int, calls: int) -> list[Row]:
    """Rows for the tiny model and for magika, each with the in-process run beside it."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        path = tiny(Path(folder))
        content = np.random.default_rng(0).integers(0, 256, (1, 2048), np.int32)
        cases = {
            "tiny": (path, "x", np.ones((1, 8), np.float32), "FP32", calls),
            "magika": (magika(), "bytes", content, "INT32", max(200, calls // 10)),
        }
        with serinus_server(*(f"{name}={case[0]}" for name, case in cases.items())) as server:
            for name, (model, tensor, value, datatype, count) in cases.items():
                alone: list[float] = []
                loads: list[Load] = []
                message = infer_message(name, tensor, value, datatype)
                for _ in range(repeats):
                    alone.extend(_in_process(model, tensor, value, count // 2))
                    loads.append(asyncio.run(_one_caller(server, message, count)))
                waits = np.concatenate([load.latencies_s for load in loads]) * 1e3
                in_process, p50, p99 = np.median(alone) * 1e3, np.percentile(waits, 50), np.percentile(waits, 99)
                rows += [
                    Row(5, f"{name}: in process, one thread, p50", f"{in_process:.2f} ms"),
                    Row(5, f"{name}: one caller, p50 / p99", f"{p50:.2f} / {p99:.2f} ms"),
                    Row(5, f"{name}: p50 above in process", f"{p50 - in_process:.2f} ms", "<= 1.5 ms"),
                    Row(5, f"{name}: p99 / p50", f"{p99 / p50:.2f}", "<= 2"),
                ]
    return rows


def _in_process(model: Path, tensor: str, value: np.ndarray, runs: int) -> list[float]:
    """Seconds of each run, with the session settings that the server uses."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, {tensor: value})
    seconds: list[float] = []
    for _ in range(runs):
        began = time.perf_counter()
        session.run(None, {tensor: value})
        seconds.append(time.perf_counter() - began)
    return seconds


async def _one_caller(server: ServerProcess, message: bytes, calls: int) -> Load:
    async with grpc.aio.insecure_channel(server.target) as channel:
        return await closed_loop(server, raw_unary(channel, INFER, message), callers=1, calls=calls)
