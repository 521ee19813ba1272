"""MLServer with ONNX Runtime, in its faster setting here: no worker processes."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import grpc.aio

from harness.processes import ServerProcess, ended

_HERE = Path(__file__).resolve().parent / "mlserver"
_VENV = Path(__file__).resolve().parents[2] / ".venv-mlserver"
_PACKAGES = ("mlserver==1.7.1", "onnxruntime", "protobuf<7", "uvloop")
_READY = "/inference.GRPCInferenceService/ServerReady"
_START_S = 60.0


def installed() -> Path:
    """The peer's environment; made when it is missing."""
    command = _VENV / "bin" / "mlserver"
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", str(_VENV)], check=True)
        subprocess.run([str(_VENV / "bin" / "pip"), "install", "--quiet", *_PACKAGES], check=True)
    return command


@contextlib.contextmanager
def mlserver(name: str, model: Path) -> Iterator[ServerProcess]:
    """A server of one model."""
    command = installed()
    ports = [_free_port() for _ in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copy(_HERE / "onnx_runtime.py", root)
        (root / "settings.json").write_text(
            json.dumps(
                {
                    "host": "127.0.0.1",
                    "http_port": ports[0],
                    "grpc_port": ports[1],
                    "metrics_port": ports[2],
                    "parallel_workers": 0,
                    "debug": False,
                }
            )
        )
        (root / "model-settings.json").write_text(
            json.dumps(
                {
                    "name": name,
                    "implementation": "onnx_runtime.OnnxRuntime",
                    "parameters": {"uri": str(model.resolve())},
                }
            )
        )
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(command), "start", "."],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with ended(process):
            asyncio.run(_until_ready(ports[1]))
            yield ServerProcess(process, ports[1], time.perf_counter() - began)


async def _until_ready(port: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ready = channel.unary_unary(_READY)
        # ServerReadyResponse{ready: true} is these two bytes.
        while await ready(b"", wait_for_ready=True, timeout=_START_S) != b"\x08\x01":  # noqa: ASYNC110 - nothing to wait on
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)  # it is ready before its models are


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
