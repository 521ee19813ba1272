"""Ray Serve behind its gRPC proxy."""

import os
from pathlib import Path

import open_inference
from models.case import Case
from peers.environments import Environment
from peers.peer import PROGRAMS, Peer, Start

_ENVIRONMENT = Environment("ray", ("ray[serve-grpc]==2.60.0",))
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_DISABLE_IMPORT_WARNING": "1"}
# What its documentation calls optimised for throughput, less the ingress that goes around the proxy.
_FAST = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}


def _start(case: Case, port: int, folder: Path) -> Start:
    replicas = 1 if case.is_quick else os.cpu_count() or 1
    program = str(PROGRAMS / "ray_server.py")
    protos = Path(open_inference.__file__).resolve().parents[1]
    return Start(
        (str(_ENVIRONMENT.python), program, case.name, str(case.path.resolve()), str(port), str(replicas)),
        {"PYTHONPATH": f"{protos}:{PROGRAMS}", "RAY_TMPDIR": str(folder), **_QUIET, **_FAST},
    )


RAY = Peer(
    "Ray Serve 2.60.0",
    _ENVIRONMENT,
    "RAY_SERVE_THROUGHPUT_OPTIMIZED, its gRPC proxy; a replica for each core unless the model takes microseconds",
    _start,
)
