"""MLServer with ONNX Runtime."""

import json
import os
from pathlib import Path

from models.case import Case
from peers.environments import Environment
from peers.peer import PROGRAMS, Peer, Start, free_port

_ENVIRONMENT = Environment("mlserver", ("mlserver==1.7.1", "protobuf<7", "uvloop"))


def _start(case: Case, port: int, folder: Path) -> Start:
    at_once = 1 if case.is_quick else os.cpu_count() or 1
    settings = {
        "host": "127.0.0.1",
        "http_port": free_port(),
        "grpc_port": port,
        "metrics_port": free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": case.name,
        "implementation": "mlserver_runtime.OnnxRuntime",
        "parameters": {"uri": str(case.path.resolve()), "extra": {"at_once": at_once}},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    command = (str(_ENVIRONMENT.python.with_name("mlserver")), "start", ".")
    return Start(command, {"PYTHONPATH": str(PROGRAMS)})


MLSERVER = Peer(
    "MLServer 1.7.1",
    _ENVIRONMENT,
    "parallel_workers 0, its faster setting here; a thread for each core unless the model takes microseconds",
    _start,
)
