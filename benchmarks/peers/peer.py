"""What it takes to measure another server: its environment, its settings, a command, and when it is ready."""

import asyncio
import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import grpc
import grpc.aio

from harness.processes import ServerProcess, ended
from models.case import Case
from peers.environments import Environment, PeerMissing
from serinus.bench.messages import oip_message
from serinus.bench.transports import INFER, channel

PROGRAMS = Path(__file__).resolve().parent / "programs"
_KEEPER = Path(__file__).resolve().parent / "keeper.py"
_READY_S = 90.0
_PROBE_S = 5.0
_AGAIN_S = 0.2


@dataclasses.dataclass(frozen=True)
class Start:
    """How a peer is started with one model.

    Attributes:
        command: Its program and arguments.
        variables: Environment variables besides those of the benchmark.
    """

    command: Sequence[str]
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Peer:
    """A server that one could pick instead.

    Attributes:
        name: With its version.
        environment: What it is made of.
        settings: How it is set, and why so; the report says it.
        start: From a model, a port and a folder of its own to its command.
    """

    name: str
    environment: Environment
    settings: str
    start: Callable[[Case, int, Path], Start]

    @contextlib.contextmanager
    def serving(self, case: Case) -> Iterator[ServerProcess]:
        """The peer with this one model, once it answers.

        Raises:
            PeerMissing: it cannot be installed, or does not answer in time.
        """
        self.environment.make()
        port = free_port()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, Path(name, "log").open("w+") as log:
            folder, began = Path(name), time.perf_counter()
            start = self.start(case, port, folder)
            process = subprocess.Popen(
                [sys.executable, str(_KEEPER), *start.command],
                cwd=folder,
                # Caches and tokens that servers keep in the home folder go with them.
                env={**os.environ, "HOME": name, "PYTHONPATH": "", **start.variables},
                stdout=log,
                stderr=log,
                text=True,
            )
            with ended(process):
                try:
                    asyncio.run(_until_answering(process, port, oip_message(case.name, case.inputs[0])))
                except TimeoutError as error:
                    log.seek(0)
                    said = log.read().strip().splitlines()
                    raise PeerMissing(f"{self.name} does not answer: {error}; {said[-1] if said else ''}") from error
                yield ServerProcess(process, port, time.perf_counter() - began)


async def _until_answering(process: subprocess.Popen[str], port: int, message: bytes) -> None:
    """Returns when a call was answered: servers say that they are ready before their models are."""
    until, why = time.monotonic() + _READY_S, ""
    async with channel(f"127.0.0.1:{port}") as opened:
        infer = opened.unary_unary(INFER)
        while process.poll() is None and time.monotonic() < until:
            try:
                await infer(message, timeout=_PROBE_S)
            except grpc.aio.AioRpcError as error:
                why = f"{error.code().name} {error.details()}"
                await asyncio.sleep(_AGAIN_S)
            else:
                return
    raise TimeoutError(f"ended with {process.returncode}" if process.returncode is not None else why)


def free_port() -> int:
    """A port that nobody had a moment ago, for servers that cannot say which one they got."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
