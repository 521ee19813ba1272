"""Runs that kill their worker, and runs that do not end; nobody else notices."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from serinus.core.dtypes import DType
from serinus.core.version import ModelVersion, Version
from serinus_client import NO_RETRIES, AsyncClient, DeadlineExceeded, SerinusError, Transport, Unavailable
from tests.end_to_end.workers.load import INPUTS, load
from tests.end_to_end.workers.supervised import Supervised, is_at_work, supervised
from tests.support import models
from tests.support.running_clock import running_clock

CONFIG = """
[workers]
most_deaths = 1
backoff_s = 0.01
[compute]
threads = 1
hang_s = {hang_s}
"""
LOOP = ModelVersion("loop", Version(1), 1)
LONG = ModelVersion("long", Version(1), 1)
X = np.ones((1, 128), np.float32)
WITHOUT_END = {"x": X, "trips": np.array(2**40, np.int64)}
QUICK = {"x": X, "trips": np.array(1, np.int64)}
HOURS = {"boxes": np.array(1 << 20, np.int64)}
NO_TIME = {"boxes": np.array(1, np.int64)}


def one_long_node() -> bytes:
    """boxes INT64 [] -> kept INT64 [M,3]: none covers another, which one node finds out pair by pair."""
    nodes = [
        helper.make_node("Range", ["zero", "boxes", "one"], ["numbers"]),
        helper.make_node("Cast", ["numbers"], ["left"], to=models.ELEMENT[DType.FP32]),
        helper.make_node("Add", ["left", "half"], ["right"]),
        helper.make_node("Sub", ["left", "left"], ["low"]),
        helper.make_node("Add", ["low", "half"], ["high"]),
        *(helper.make_node("Unsqueeze", [edge, "outer"], [f"{edge}_"]) for edge in ("left", "low", "right", "high")),
        helper.make_node("Concat", ["left_", "low_", "right_", "high_"], ["corners"], axis=2),
        helper.make_node("Unsqueeze", ["left", "first"], ["scores"]),
        helper.make_node("NonMaxSuppression", ["corners", "scores", "most", "overlap"], ["kept"]),
    ]
    constants = {
        "zero": np.int64(0),
        "one": np.int64(1),
        "half": np.float32(0.5),
        "outer": np.array([0, 2], np.int64),
        "first": np.array([0, 1], np.int64),
        "most": np.array([1 << 40], np.int64),
        "overlap": np.array([0.9], np.float32),
    }
    return models.build(
        nodes,
        [models.value("boxes", DType.INT64, [])],
        [models.value("kept", DType.INT64, ["M", 3])],
        [models.constant(name, array) for name, array in constants.items()],
    )


@contextlib.asynccontextmanager
async def serving(folder: Path, workers: int, *, hang_s: float) -> AsyncIterator[Supervised]:
    """A server of small models that may run for long."""
    (folder / "serinus.toml").write_text(CONFIG.format(hang_s=hang_s))
    for name, content in (("tab", models.tabular()), ("loop", models.counted_loop()), ("long", one_long_node())):
        (folder / f"{name}.onnx").write_bytes(content)
    named = [f"--model={name}={name}.onnx" for name in ("tab", "loop", "long")]
    with supervised(folder, workers, "--config=serinus.toml", *named) as server:
        yield server


def impatient(target: str) -> AsyncClient:
    return AsyncClient(target, retry=NO_RETRIES, transport=Transport.UNARY)


async def at_work(server: Supervised, version: ModelVersion) -> int:
    """The process that works on that version, as soon as there is one."""
    async with asyncio.timeout(60):
        while True:
            for pid in server.workers().values():
                if is_at_work(pid, version):
                    return pid
            await asyncio.sleep(0.02)


async def test_a_model_whose_runs_kill_workers_is_kept_out_until_somebody_loads_it(tmp_path: Path) -> None:
    """One death is put up with; after the second the model is quarantined, and all others answer all the time."""
    async with serving(tmp_path, 2, hang_s=60) as server, load(server.target) as patient:
        for death in (1, 2):
            async with impatient(server.target) as client:
                call = asyncio.create_task(client.predict("loop", WITHOUT_END))
                os.kill(await at_work(server, LOOP), signal.SIGSEGV)
                with pytest.raises(Unavailable):
                    await call
            await server.until("worker ready", 2 + death)
        async with AsyncClient(server.target, retry=NO_RETRIES) as client:
            with pytest.raises(SerinusError) as caught:
                await client.predict("loop", QUICK)
            assert (caught.value.reason, server.count("version quarantined")) == ("QUARANTINED", 1)
            await client.admin.load_model("loop")
        for _ in range(4):
            async with AsyncClient(server.target, retry=NO_RETRIES) as client:
                await client.predict("loop", QUICK)
    assert patient.failures == []


async def test_a_run_that_nobody_waits_for_is_told_to_end_between_its_nodes(tmp_path: Path) -> None:
    """The caller hears of its deadline at its deadline; the worker lives on, and its thread runs others."""
    # A second, so that a thread that is kept from running has run when it is asked whether it has heard.
    async with serving(tmp_path, 1, hang_s=1) as server, impatient(server.target) as client:
        clock = running_clock()
        began, began_running = time.monotonic(), clock.now()
        with pytest.raises(DeadlineExceeded):
            await client.predict("loop", WITHOUT_END, timeout_s=0.3)
        assert time.monotonic() - began > 0.25
        assert clock.now() - began_running < 1.5
        await client.predict("loop", QUICK, timeout_s=30)
        assert (server.count("run told to end"), server.count("run does not end")) == (1, 0)
        assert len(server.workers()) == server.count("worker ready") == 1


async def test_a_worker_whose_run_cannot_be_ended_is_replaced(tmp_path: Path) -> None:
    """By one that serves before it goes; others notice nothing, and the second time the model is kept out."""
    async with serving(tmp_path, 2, hang_s=0.2) as server, load(server.target) as patient:
        for death in (1, 2):
            async with impatient(server.target) as client:
                with pytest.raises(DeadlineExceeded):
                    await client.predict("long", HOURS, timeout_s=0.3)
                await client.predict("loop", QUICK, timeout_s=30)  # in the same process, on the thread that follows
            await server.until("worker stuck", death)
            await server.until("worker ready", 2 + death)
            await server.until("worker died at work", death)
        async with AsyncClient(server.target) as client:
            with pytest.raises(SerinusError) as caught:
                await client.predict("long", NO_TIME)
            assert caught.value.reason == "QUARANTINED"
            await client.predict("tab", INPUTS)
    assert patient.failures == []


async def test_without_workers_another_thread_goes_on(tmp_path: Path) -> None:
    """In the same process, which ends when it is told to, whatever the old thread does."""
    async with serving(tmp_path, 0, hang_s=0.2) as server:
        async with impatient(server.target) as client:
            with pytest.raises(DeadlineExceeded):
                await client.predict("long", HOURS, timeout_s=0.3)
            await client.predict("loop", QUICK, timeout_s=30)
            await client.predict("long", NO_TIME, timeout_s=30)
            assert server.count("run does not end") == 1
        assert await server.end(signal.SIGTERM) == 0
