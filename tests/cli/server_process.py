"""A real server in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence


class ServerProcess:
    """`serinus serve` in one process, on free ports: `with ServerProcess([...]) as server`.

    Attributes:
        process: The process.
        ready: What it wrote to standard output once it answered.
    """

    def __init__(self, arguments: Sequence[str], folder) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serinus", "serve", "--json", "--workers", "0",
             "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--state", str(folder / "state"), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
            env={name: text for name, text in os.environ.items() if not name.startswith("SERINUS_")},
        )  # fmt: skip

    def __enter__(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.ready = json.loads(line)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    @property
    def target(self) -> str:
        return self.ready["grpc"]

    def wait_for_event(self, event: str) -> dict:
        """Read the log until a line says `event`."""
        for line in self.process.stderr:
            found = json.loads(line)
            if found["event"] == event:
                return found
        raise AssertionError(f"the process ended without saying {event!r}")
