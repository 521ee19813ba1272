"""A worker whose event loop stands: it answers nothing and holds its connections, until its supervisor sees to it."""

import asyncio
import os
import signal
import time
from pathlib import Path

from tests.end_to_end.workers.load import load
from tests.end_to_end.workers.supervised import supervised, until_gone

SILENT_S = 1  # the least that can be configured
_SEEN_S = 20.0  # a silence, a quarter of one, and the start of a worker on a busy machine


async def test_a_worker_that_stands_is_replaced_and_no_call_fails(models_folder: Path, tmp_path: Path) -> None:
    """Row 54: calls that were at it are made again by the SDK once it is gone; the worker beside it stays who it is."""
    (tmp_path / "tab.onnx").write_bytes((models_folder / "tab.onnx").read_bytes())
    (tmp_path / "serinus.toml").write_text(f"[workers]\nsilent_s = {SILENT_S}\n")
    with supervised(tmp_path, 2, "--model=tab=tab.onnx", "--config=serinus.toml") as server:
        before = server.workers()
        async with load(server.target) as patient:
            stood = time.monotonic()
            os.kill(before[1], signal.SIGSTOP)
            await server.until("worker ready", 3)
            await until_gone([before[1]])
            took_s, answered = time.monotonic() - stood, len(patient.answers)
            while len(patient.answers) < answered + 100:  # noqa: ASYNC110 - calls of all clients, as ever
                await asyncio.sleep(0.05)
        after = server.workers()
        silent = [(event["worker"], event["pid"]) for event in server.events() if event["event"] == "worker silent"]
    assert patient.failures == []
    assert silent == [(1, before[1])]
    assert (after[1] != before[1], after[2]) == (True, before[2])
    assert SILENT_S <= took_s < _SEEN_S
