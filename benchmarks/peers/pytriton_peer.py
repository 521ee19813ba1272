"""Triton's C++ front end with a Python back end, from the wheel of nvidia-pytriton."""

import os
import sysconfig
from pathlib import Path

from models.case import Case
from peers.environments import Environment
from peers.peer import PROGRAMS, Peer, Start

_ENVIRONMENT = Environment("pytriton", ("nvidia-pytriton==0.7.0",))
_MOST_ROWS = 32


def _start(case: Case, port: int, folder: Path) -> Start:
    at_once = 1 if case.is_quick else os.cpu_count() or 1
    most_rows = _MOST_ROWS if case.is_joinable else 1
    program = str(PROGRAMS / "pytriton_server.py")
    settings = (case.name, str(case.path.resolve()), str(port), str(at_once), str(most_rows))
    # Triton's interpreter is a program that loads libpython: it must be the one whose standard library it will find.
    variables = {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")), "TMPDIR": str(folder)}
    return Start((str(_ENVIRONMENT.python), program, *settings), variables)


PYTRITON = Peer(
    "Triton 24.10 by nvidia-pytriton 0.7.0",
    _ENVIRONMENT,
    f"dynamic batching to {_MOST_ROWS} rows, no delay; an instance for each core unless the model takes microseconds",
    _start,
)
