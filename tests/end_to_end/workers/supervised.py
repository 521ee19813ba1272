"""`serinus serve` with workers, as an operator starts it, and looks after it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from serinus.core.version import ModelVersion
from serinus.workers.crash_record import read_record

_WAIT_S = 60  # a machine whose cores are all busy
_LOOK_S = 0.05


class Supervised:
    """A supervisor's process and what it announced.

    Attributes:
        process: The supervisor's.
        ready: What it wrote to standard output once it answered.
        log: Its log and that of its workers, one JSON line a decision.
    """

    def __init__(self, process: "subprocess.Popen[str]", ready: dict, log: Path) -> None:
        self.process = process
        self.ready = ready
        self.log = log

    @property
    def target(self) -> str:
        """Where clients find it."""
        return self.ready["grpc"]

    def workers(self) -> dict[int, int]:
        """Process numbers by place, as of the last worker that said it was ready there."""
        return {event["worker"]: event["pid"] for event in self.events() if event["event"] == "worker ready"}

    def events(self) -> list[dict]:
        """What it has logged."""
        lines = (line for line in self.log.read_text().splitlines() if line.endswith("}"))
        return [json.loads(line) for line in lines]

    def count(self, event: str) -> int:
        """How often it has logged that."""
        return sum(each["event"] == event for each in self.events())

    async def until(self, event: str, count: int) -> None:
        """Wait until it has logged that so many times."""
        async with asyncio.timeout(_WAIT_S):
            while self.count(event) < count:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(_LOOK_S)

    async def end(self, *signals: signal.Signals) -> int:
        """Its exit code after these signals."""
        for number in signals:
            self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, _WAIT_S)


@contextlib.contextmanager
def supervised(folder: Path, workers: int, *arguments: str) -> Iterator[Supervised]:
    """A server that is ready when the block begins; killed when it ends, if it is still there."""
    log = folder / f"log-{time.monotonic_ns()}.jsonl"
    with log.open("w") as errors, _started(folder, workers, arguments, errors.fileno()) as process:
        assert process.stdout is not None, "it has a pipe"
        try:
            line = process.stdout.readline()
            assert line, f"the server did not start: {log.read_text()}"
            yield Supervised(process, json.loads(line), log)
        finally:
            process.kill()


def refused_start(folder: Path, workers: int, *arguments: str) -> tuple[int, str, list[str]]:
    """Exit code, standard output, and the sentences on standard error of a server that must not start."""
    with _started(folder, workers, arguments, subprocess.PIPE) as process:
        out, err = process.communicate(timeout=_WAIT_S)
    return process.returncode, out, [line for line in err.splitlines() if not line.startswith("{")]


def _started(folder: Path, workers: int, arguments: Sequence[str], errors: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "serinus", "serve", "--json", "--workers", str(workers), "--state", "state"]
    return subprocess.Popen(
        [*command, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        cwd=folder,
        env={name: text for name, text in os.environ.items() if not name.startswith("SERINUS_")},
    )


async def until_gone(pids: Collection[int]) -> None:
    """Wait until none of these processes is there; one that nobody has reaped counts as gone."""
    async with asyncio.timeout(_WAIT_S):
        while any(_lives(pid) for pid in pids):  # noqa: ASYNC110 - the system knows it alone
            await asyncio.sleep(_LOOK_S)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until_free(port: int) -> None:
    """Wait until somebody could listen there; a process's sockets outlive its entry in the list by a moment."""
    async with asyncio.timeout(_WAIT_S):
        while not is_free(port):  # noqa: ASYNC110 - the system knows it alone
            await asyncio.sleep(_LOOK_S)


def is_free(port: int) -> bool:
    """Whether somebody could listen there now, sharing it with nobody."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def is_at_work(pid: int, version: ModelVersion) -> bool:
    """Whether a worker's crash record says that it is at work on the version."""
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if "serinus-crash-record" in str(descriptor.readlink()):
                with descriptor.open("rb") as record:
                    return version in read_record(record.fileno())
    return False
