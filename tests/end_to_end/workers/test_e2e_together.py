"""Two workers that act as one server, and a model that kills them: real processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from tritonclient import grpc as triton

from serinus.core.version import ModelVersion, Version
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import Client, SerinusError
from tests.end_to_end.registry.hostile_models import hang
from tests.end_to_end.workers.supervised import is_at_work
from tests.support import models

KILLER = ModelVersion("killer", Version(1), 1)
CONFIG = """
state = "state"
model_repository = "models"
[grpc]
host_port = "127.0.0.1:0"
[http]
host_port = "127.0.0.1:0"
[workers]
count = 2
most_deaths = 1
backoff_s = 0.01
[compute]
threads = 1
[drain]
notice_s = 0
"""
X = np.ones((1, 8), np.float32)
Found = TypeVar("Found")


class Server:
    """A supervisor and its workers.

    Attributes:
        process: The supervisor.
        killed: Workers that died of their work, in order.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.killed: list[int] = []
        self._log = folder / "log.jsonl"

    def kill_at_work(self) -> None:
        """End a worker in the way of a segmentation fault, once it is at work on the model."""
        pid = self.soon(lambda: next((pid for pid in self._workers() if is_at_work(pid, KILLER)), None))
        self.killed.append(pid)
        os.kill(pid, signal.SIGSEGV)

    def announced(self) -> tuple[str, str]:
        """Where it serves, once all workers do: gRPC and HTTP."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self._log.read_text()
        said = json.loads(line)
        return f"127.0.0.1:{said['grpc_port']}", f"http://127.0.0.1:{said['http_port']}"

    def _workers(self) -> list[int]:
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [pid for pid in map(int, text.split()) if pid not in self.killed]

    def soon(self, look: Callable[[], Found | None]) -> Found:
        """What `look` finds, as soon as it finds something."""
        for _ in range(3000):
            if (found := look()) is not None:
                return found
            time.sleep(0.02)  # another process: there is nothing to wait on
        raise AssertionError(self._log.read_text())


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A server that ends with exit code 0 when the block does."""
    for name, content in (("killer", hang()), ("tab", models.tabular())):
        version = folder / "models" / name / "1"
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(content)
    (folder / "serinus.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "serinus", "serve", "--json", "--config", "serinus.toml"]
    with (
        (folder / "log.jsonl").open("w") as log,
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            yield Server(process, folder)
            process.terminate()
            assert process.wait(60) == 0, (folder / "log.jsonl").read_text()
        finally:
            process.kill()


def shown(http: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{http}/metrics", timeout=30) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines)}


def status(target: str) -> pb.GetServerStatusResponse:
    with Client(target) as client:
        return client.admin.server_status()


def states(found: pb.GetServerStatusResponse) -> Sequence[tuple[str, int, int]]:
    return [(model.model, model.state, model.answered) for model in found.models]


def test_workers_act_as_one_and_outlive_a_model_that_kills_them(tmp_path: Path):
    """Two deaths at the same model keep it out: the others serve, are counted together, and are loaded everywhere."""
    with server(tmp_path) as running:
        running.kill_at_work()
        running.kill_at_work()
        target, http = running.announced()
        with Client(target) as client, pytest.raises(SerinusError) as caught:
            client.predict("killer", {"x": X})
        assert caught.value.reason == "QUARANTINED"
        assert caught.value.message == (
            "killer@1.0.0 was running at 2 deaths of a worker within 60 s, the last one by signal 11, and is not "
            "loaded any more; 'serinus models load killer@1.0.0' tries it again"
        )
        for _ in range(6):  # each connection meets one of the workers
            with Client(target) as client:
                client.predict("tab", {"x": X})
        config = '{"max_batch_size": 4}'
        with triton.InferenceServerClient(target) as told:
            told.load_model("sent", config=config, files={"file:1/model.onnx": models.tabular()})
        found = status(target)
        assert [(worker.index, worker.ready, worker.restarts, worker.last_end) for worker in found.workers] == [
            (1, True, 1, "signal 11"),
            (2, True, 1, "signal 11"),
        ]
        assert found.bytes_limit == 512 << 20  # each has its share
        ready, unavailable = pb.MODEL_STATE_READY, pb.MODEL_STATE_UNAVAILABLE
        assert states(found) == [("killer", unavailable, 0), ("sent", ready, 0), ("tab", ready, 6)]
        metrics = shown(http)
        answered = 'serinus_requests_total{model="tab",outcome="answered",version="1.0.0"}'
        assert (metrics[answered], metrics['serinus_workers{state="ready"}']) == (6, 2)
        assert metrics['serinus_quarantined{model="killer",version="1.0.0"}'] == 1

        os.kill(found.workers[0].pid, signal.SIGKILL)
        running.killed.append(found.workers[0].pid)
        running.soon(lambda: is_whole(target) or None)
        assert shown(http)[answered] == 6
        assert ("sent", ready, 0) in states(status(target))


def is_whole(target: str) -> bool:
    with contextlib.suppress(SerinusError):
        return all(worker.ready for worker in status(target).workers)
    return False
