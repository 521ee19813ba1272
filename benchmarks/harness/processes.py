"""Server processes, and what they cost: the CPU time of all their threads as the kernel counts it."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.pages import counted_once, pages_of
from serinus.bench.server_use import ProcessTree

_HERE = Path(__file__).resolve().parent.parent

SERINUS = str(Path(sys.executable).parent / "serinus")
"""The command line of the environment that the benchmarks run in."""


class ServerProcess:
    """A server under test.

    Attributes:
        port: Where it takes gRPC calls.
        started_s: From the start of the process to the line that says it is ready.
        meter: What it uses, all of its processes together.
        http_port: Where it shows its metrics; 0 where it does not.
    """

    def __init__(self, process: subprocess.Popen[str], port: int, started_s: float, *, http_port: int = 0) -> None:
        self.port = port
        self.started_s = started_s
        self.meter = ProcessTree(process.pid)
        self.http_port = http_port

    @property
    def target(self) -> str:
        """Where to connect."""
        return f"127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """User and system time of all threads since the start, in seconds."""
        return self.meter.use().cpu_s

    def rss_mib(self) -> float:
        """Memory that its processes hold, in MiB; what they share counts for each."""
        return self.meter.use().memory_bytes / (1 << 20)

    def pages_mib(self) -> float:
        """Memory that its processes hold together, in MiB; what they share counts once."""
        return counted_once(pages_of(self.meter.pids())) / (1 << 20)


@contextlib.contextmanager
def running(command: Sequence[str]) -> Iterator[ServerProcess]:
    """A server process whose first line of output is its port, or a JSON object with `grpc_port`."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with ended(process):
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command)} ended with {process.wait()} before it was ready")
        said = json.loads(line)
        ports = said if isinstance(said, dict) else {"grpc_port": said, "http_port": 0}
        started_s = time.perf_counter() - began
        yield ServerProcess(process, ports["grpc_port"], started_s, http_port=ports["http_port"])


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Ends the process with the block, by force if asking does not do."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def echo_server(loop: str) -> contextlib.AbstractContextManager[ServerProcess]:
    """A bare `grpc.aio` server that echoes bytes, on "asyncio" or "uvloop"."""
    return running([sys.executable, str(_HERE / "servers" / "echo.py"), loop])


@contextlib.contextmanager
def serinus_server(*models: str, flags: Sequence[str] = (), state: Path | None = None) -> Iterator[ServerProcess]:
    """`serinus serve` with models `NAME=PATH`; without `state`, with an empty registry of its own."""
    named = [part for model in models for part in ("--model", model)]
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    with tempfile.TemporaryDirectory() as fresh:
        kept = ("--state", str(state or fresh))
        with running([SERINUS, "serve", "--json", *named, *flags, *kept, *ports]) as server:
            yield server
