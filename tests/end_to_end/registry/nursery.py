"""Run as a script: starts servers by forking, because importing everything takes ten times longer than starting one.

    python -m tests.end_to_end.registry.nursery SOCKET

`SOCKET` is the number of a socket. Each message on it is the path of a configuration, and comes with three open files:
standard input, output and error of the server that is to run with it. The answer is the process's number. A server is
what `tests.support.server` runs, but that it ends its output with an empty line when it ended well. Nothing but imports
happens before a fork: no thread, no session, no channel.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import uvloop

from serinus.app.server import StartRefused
from tests.support.server import Look, serve, with_ports

_START_S = 60  # a machine whose cores are all busy
_THREADS = 2


class ForkedServer:
    """A server as its tests see it; what `tests.support.server.WatchedServer` is, and it can be killed.

    Attributes:
        grpc_port: Where it listens for gRPC.
        http_port: Where its metrics and probes are.
        log: Its log, one JSON line a decision.
    """

    def __init__(
        self, pid: int, questions: asyncio.StreamWriter, answers: asyncio.StreamReader, log: Path, ports: dict[str, int]
    ) -> None:
        self.grpc_port = ports["grpc"]
        self.http_port = ports["http"]
        self.log = log
        self._pid = pid
        self._questions = questions
        self._answers = answers
        self.is_killed = False

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.grpc_port}"

    async def look(self) -> Look:
        """What it is and holds now; AssertionError if it is gone."""
        self._questions.write(b"look\n")
        line = await asyncio.wait_for(self._answers.readline(), _START_S)
        assert line, f"the server is gone: {self.log.read_text()[-4000:]}"
        return Look.told(line)

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.is_killed = True
        os.kill(self._pid, signal.SIGKILL)
        assert await asyncio.wait_for(self._answers.read(), _START_S) == b"", "its output ends with it"

    def events(self) -> list[dict[str, object]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    async def stop(self) -> None:
        """Let it drain; it must end well."""
        self._questions.close()
        last = await asyncio.wait_for(self._answers.read(), _START_S)
        assert last == b"\n", f"it did not end well: {self.log.read_text()[-4000:]}"


class Nursery:
    """The process that forks servers, and the socket to it."""

    def __init__(self, asking: socket.socket) -> None:
        self._asking = asking
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def server(self, folder: Path, config: str) -> AsyncIterator[ForkedServer]:
        """A server that is ready when the block begins, and must end well when the block ends, unless it was killed.

        Args:
            folder: Its configuration and log lie there, and all that lay there stays; relative paths start there.
            config: TOML: top-level keys, then tables, without addresses.
        """
        file, log = folder / "serinus.toml", folder / "log.jsonl"
        file.write_text(with_ports(config))
        (input_end, questions_end), (answers_end, output_end) = os.pipe(), os.pipe()
        async with self._turn:
            with log.open("w") as errors:
                socket.send_fds(self._asking, [str(file).encode()], [input_end, output_end, errors.fileno()])
            pid = int(await asyncio.to_thread(self._asking.recv, 64))
        os.close(input_end)
        os.close(output_end)
        questions, answers = await _writer(questions_end), await _reader(answers_end)
        is_over = False
        try:
            line = await asyncio.wait_for(answers.readline(), _START_S)
            assert line.strip(), f"the server did not start: {log.read_text()}"
            server = ForkedServer(pid, questions, answers, log, json.loads(line))
            yield server
            if not server.is_killed:
                await server.stop()
            is_over = True
        finally:
            questions.close()
            if not is_over:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    """A nursery, which ends with the block."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.end_to_end.registry.nursery", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                env=_environment(),
            )
        yield Nursery(ours)
    assert await asyncio.wait_for(process.wait(), _START_S) == 0


def _environment() -> dict[str, str]:
    """As a server has it, without what tests alone need; and with no threads of numpy's before a fork."""
    own = {name: value for name, value in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"}
    return {**own, "OPENBLAS_NUM_THREADS": "1"}


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(descriptor, "wb", buffering=0)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
    return asyncio.StreamWriter(transport, protocol, None, loop)


def _run(config: Path, files: Sequence[int]) -> int:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(config.parent)
    try:
        uvloop.run(serve(config))
    except StartRefused as refused:
        sys.stderr.write(f"error: {refused}\n")
        sys.stderr.flush()
        return 1
    os.write(1, b"\n")
    return 0


def main() -> None:
    """Fork as told until the socket closes."""
    told = socket.socket(fileno=int(sys.argv[1]))
    # onnxruntime starts one thread when it is imported, and does without it; any other would be missing in the servers.
    assert len(list(Path("/proc/self/task").iterdir())) <= _THREADS, "somebody started a thread"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, files, _, _ = socket.recv_fds(told, 4096, 3)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            code = 2
            try:
                told.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                code = _run(Path(message.decode()), files)
            finally:
                os._exit(code)
        for file in files:
            os.close(file)
        told.send(str(pid).encode())


if __name__ == "__main__":
    main()
