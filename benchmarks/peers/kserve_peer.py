"""KServe's Python server with ONNX Runtime."""

import os
from pathlib import Path

from models.case import Case
from peers.environments import Environment
from peers.peer import PROGRAMS, Peer, Start

_ENVIRONMENT = Environment("kserve", ("kserve==0.21.0", "uvloop"))


def _start(case: Case, port: int, _folder: Path) -> Start:
    at_once = 1 if case.is_quick else os.cpu_count() or 1
    program = str(PROGRAMS / "kserve_server.py")
    return Start(
        (str(_ENVIRONMENT.python), program, case.name, str(case.path.resolve()), str(port), str(at_once)),
    )


KSERVE = Peer(
    "KServe 0.21.0 Python server",
    _ENVIRONMENT,
    "uvloop, raw outputs, no line of log a call; a thread for each core unless the model takes microseconds",
    _start,
)
