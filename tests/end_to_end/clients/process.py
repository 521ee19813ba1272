"""Starts `serinus serve` as one process of its own and looks after it.

A process, because a client that shares the server's interpreter lock could not load it.
"""

import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

COMMAND = (sys.executable, "-m", "serinus", "serve", "--json", "--workers", "0", "--config")
_START_S = 60  # a machine whose cores are all busy
_END_S = 60

CONFIG = """
state = "state"
[grpc]
host_port = "127.0.0.1:{port}"
[http]
host_port = "127.0.0.1:0"
"""


@dataclasses.dataclass
class ChildServer:
    """A server in a process of its own.

    Attributes:
        process: The process.
        grpc_port: Where it listens for gRPC.
        log: Its log, one JSON line a decision.
    """

    process: subprocess.Popen[str]
    grpc_port: int
    log: Path
    _is_told: bool = False

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.grpc_port}"

    def terminate(self) -> None:
        """Send SIGTERM, once: the server drains, and a second one would end it at once."""
        if not self._is_told:
            self._is_told = True
            self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(_END_S)

    def events(self) -> list[dict[str, object]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextlib.contextmanager
def child_server(folder: Path, config: str = "", *, port: int = 0, drain: str = "") -> Iterator[ChildServer]:
    """A server that is ready when the block begins; it must end with exit code 0 when the block ends.

    Args:
        folder: Its configuration, state and log lie there; relative paths start there.
        config: TOML besides the addresses: first top-level keys, then tables.
        port: Its gRPC port; 0 stands for any.
        drain: TOML of the table [drain].

    Raises:
        AssertionError: it did not start, and the log says why.
    """
    file, log = folder / "serinus.toml", folder / "log.jsonl"
    keys, _, tables = config.partition("\n[")
    text = keys + CONFIG.format(port=port) + (f"[{tables}" if tables else "")
    file.write_text(text + (f"\n[drain]\n{drain}\n" if drain else ""))
    with (
        log.open("w") as errors,
        subprocess.Popen([*COMMAND, file], stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, f"the server did not start: {log.read_text()}"
            server = ChildServer(process, json.loads(line)["grpc_port"], log)
            yield server
            server.terminate()
            assert server.wait() == 0, log.read_text()
        finally:
            process.kill()


def refused_start(folder: Path, *, port: int) -> tuple[int, str]:
    """Exit code and standard error of a server that must not start."""
    file = folder / "serinus.toml"
    file.write_text(CONFIG.format(port=port))
    done = subprocess.run([*COMMAND, file], check=False, capture_output=True, text=True, timeout=_START_S, cwd=folder)
    return done.returncode, done.stderr
