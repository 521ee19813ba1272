"""A server in a process of its own that can be watched from inside: how late its loop is, what it holds.

    python server.py CONFIG.toml

Writes its ports as a line of JSON, answers each line on standard input with a `Look` as a line of JSON, and drains and
exits 0 when standard input ends, so that it never outlives the tests. A server that is refused writes the sentence to
standard error and exits 1.
"""

import asyncio
import contextlib
import ctypes
import dataclasses
import json
import os
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import uvloop

from serinus.app.server import StartRefused, running_server
from serinus.config.settings import load_settings
from serinus.runtime.freed_memory import give_back
from serinus.telemetry.logs import configure_logs

_TICK_S = 0.01
_REMARKABLE_S = 0.05  # half of what is too late
_MOST_LAGS = 500  # what one line of a pipe holds
_START_S = 60  # a machine whose cores are all busy
_THREADS = Path("/proc/self/task")
_SCHEDSTAT_BYTES = 128  # three numbers
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Lag(NamedTuple):
    """A timer of the loop that ran late.

    Attributes:
        began: When the loop last ran in time, by `time.perf_counter`.
        ended: When it ran the timer.
        late_s: How late that was.
        waited_s: For how much of it the machine ran something else instead of the loop's thread, or of a thread of its
            process that it may have waited for.
    """

    began: float
    ended: float
    late_s: float
    waited_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What the process is and holds.

    Attributes:
        pid: Which process.
        lags: How late the loop ran its timers since the last look, where it was remarkable.
        rss_bytes: Memory, once the C library has given back what is free: what it would keep for later is no leak.
        fds: Open files and sockets.
        threads: Threads.
        tasks: Tasks of the event loop.
    """

    pid: int
    lags: Sequence[Lag]
    rss_bytes: int
    fds: int
    threads: int
    tasks: int

    @classmethod
    def told(cls, line: bytes) -> "Look":
        """What a server has written."""
        seen = json.loads(line)
        return cls(**seen | {"lags": [Lag(*lag) for lag in seen["lags"]]})


class _Moment(NamedTuple):
    """What a moment of the loop's thread is measured by: the time, and seconds since the threads began.

    Attributes:
        at: By `time.perf_counter`.
        computed_s: Of the loop's thread.
        waited_s: For a core, by thread that may hold the interpreter.
    """

    at: float
    computed_s: float
    waited_s: Mapping[int, float]


# Calls that keep the interpreter: Python's own give it away around each, and where another thread computes they get it
# back after 5 ms, so that the meter would find the loop late by what it took to look.
_libc = ctypes.PyDLL(None)


def _waited_s(thread: int) -> float | None:
    """For a core, since the thread began; None where it has ended."""
    file = _libc.open(b"/proc/self/task/%d/schedstat" % thread, os.O_RDONLY | os.O_CLOEXEC)
    if file < 0:
        return None
    read = ctypes.create_string_buffer(_SCHEDSTAT_BYTES)
    count = _libc.read(file, read, _SCHEDSTAT_BYTES)
    _libc.close(file)
    return int(read.raw[:count].split()[1]) / 1e9 if count > 0 else None


class _LagMeter:
    """Measures how late the loop runs its timers, and what of that the machine was busy with something else."""

    def __init__(self) -> None:
        self._thread = threading.get_native_id()
        self._lags: list[Lag] = []
        self._slept = self._now()

    def _now(self) -> _Moment:
        at, computed_s = time.perf_counter(), time.thread_time()
        # By the number of this one: what Python knows of the first thread is its number before a fork.
        threads = {self._thread, *(thread.native_id or 0 for thread in threading.enumerate())}
        return _Moment(
            at, computed_s, {thread: waited for thread in threads if (waited := _waited_s(thread)) is not None}
        )

    def _measure(self) -> None:
        before, now = self._slept, self._now()
        late_s = now.at - before.at - _TICK_S
        if late_s < _REMARKABLE_S or len(self._lags) >= _MOST_LAGS:
            return
        waited_s = {thread: waited - before.waited_s.get(thread, 0.0) for thread, waited in now.waited_s.items()}
        own_s = waited_s.pop(self._thread)
        # What it neither computed nor waited for a core, it waited for somebody: for who held the interpreter and had
        # no core, if any thread was without one for so long.
        idle_s = max(0.0, late_s - own_s - (now.computed_s - before.computed_s))
        for_others_s = min(idle_s, max(waited_s.values(), default=0.0))
        self._lags.append(Lag(before.at, now.at, late_s, own_s + for_others_s))

    async def run(self) -> None:
        while True:
            self._slept = self._now()
            await asyncio.sleep(_TICK_S)
            self._measure()

    def take(self) -> Sequence[Lag]:
        """The lags since the last call, one that is not over yet included."""
        self._measure()
        lags, self._lags = self._lags, []
        return lags


async def _look(meter: _LagMeter) -> Look:
    lags = meter.take()
    await asyncio.to_thread(give_back)
    meter.take()  # the loop may have waited for the allocator meanwhile, which is the look's doing
    return _seen(lags)


def _seen(lags: Sequence[Lag]) -> Look:
    return Look(
        pid=os.getpid(),
        lags=lags,
        rss_bytes=int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES,
        fds=len(list(Path("/proc/self/fd").iterdir())),
        threads=len(list(_THREADS.iterdir())),
        tasks=len(asyncio.all_tasks()),
    )


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def serve(config: Path) -> None:
    """Be the server of a configuration until standard input ends."""
    questions = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
    settings = load_settings(config, flags={}, environ={})
    logs = configure_logs(sys.stderr, "info", json=True)
    meter = _LagMeter()
    async with running_server(settings, logs=logs, rng=random.Random(1)) as server:
        measuring = asyncio.create_task(meter.run())
        _say({"grpc": server.grpc_port, "http": server.http_port})
        while await questions.readline():
            _say(dataclasses.asdict(await _look(meter)))
        measuring.cancel()
        await server.drain()


class WatchedServer:
    """The server as its tests see it.

    Attributes:
        grpc_port: Where it listens for gRPC.
        http_port: Where its metrics are.
        log: Its log, one JSON line a decision.
    """

    def __init__(self, process: asyncio.subprocess.Process, *, grpc_port: int, http_port: int, log: Path) -> None:
        self.grpc_port = grpc_port
        self.http_port = http_port
        self.log = log
        self._process = process

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.grpc_port}"

    async def look(self) -> Look:
        """What it is and holds now; AssertionError if it is gone."""
        assert self._process.stdin is not None, "it has a pipe"
        assert self._process.stdout is not None, "it has a pipe"
        self._process.stdin.write(b"look\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), _START_S)
        assert line, f"the server is gone: {self.log.read_text()[-4000:]}"
        return Look.told(line)


@contextlib.asynccontextmanager
async def watched_server(folder: Path, config: str, *, under: Sequence[str] = ()) -> AsyncIterator[WatchedServer]:
    """A server that is ready when the block begins and must end with exit code 0 when the block ends.

    Args:
        folder: Its configuration and log lie there; relative paths start there.
        config: TOML: top-level keys, then tables, without addresses.
        under: A command that takes another one and becomes it, such as `prlimit --nofile=64`.

    Raises:
        AssertionError: it did not start, or did not end well; the log says why.
    """
    file, log = folder / "serinus.toml", folder / "log.jsonl"
    file.write_text(with_ports(config))
    with log.open("w") as errors:
        process = await _start(file, stderr=errors.fileno(), under=under)
        try:
            assert process.stdout is not None, "it has a pipe"
            line = await asyncio.wait_for(process.stdout.readline(), _START_S)
            assert line, f"the server did not start: {log.read_text()}"
            ports = json.loads(line)
            yield WatchedServer(process, grpc_port=ports["grpc"], http_port=ports["http"], log=log)
            try:
                await asyncio.wait_for(process.communicate(b""), _START_S)  # which closes standard input
            except TimeoutError:
                raise AssertionError(f"it does not end: {log.read_text()[-4000:]}") from None
            assert process.returncode == 0, log.read_text()[-4000:]
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate(b"")


async def refused_start(folder: Path, config: str, **environment: str) -> tuple[int, str]:
    """Exit code and standard error of a server that must not start."""
    file = folder / "serinus.toml"
    file.write_text(with_ports(config))
    process = await _start(file, stderr=asyncio.subprocess.PIPE, **environment)
    _, errors = await asyncio.wait_for(process.communicate(), _START_S)
    assert process.returncode is not None, "it has ended"
    return process.returncode, errors.decode()


def with_ports(config: str) -> str:
    """A configuration with addresses: any free ports of this machine."""
    for head in ("[grpc]\n", "[http]\n"):
        address = f'{head}host_port = "127.0.0.1:0"\n'
        config = config.replace(head, address) if head in config else f"{config}\n{address}"
    return config


async def _start(
    config: Path, *, stderr: int, under: Sequence[str] = (), **environment: str
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *under,
        sys.executable,
        __file__,
        str(config),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        cwd=config.parent,
        env={**os.environ, **environment},
    )


if __name__ == "__main__":
    try:
        uvloop.run(serve(Path(sys.argv[1])))
    except StartRefused as refused:
        sys.exit(f"error: {refused}")
