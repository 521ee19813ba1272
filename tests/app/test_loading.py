"""How versions are made: what was declared is compared, samples are filled, layers are built."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from serinus.app.loading import VersionLoader, check_declarations
from serinus.config.models import ModelSpec, TensorDeclaration
from serinus.core.dtypes import DType
from serinus.core.errors import Draining, ModelRejected
from serinus.core.predictor import Request
from serinus.core.signature import TensorSpec
from serinus.runtime.pool import ComputePool
from serinus.serving.admission import ByteBudget
from serinus.serving.slots import RunSlots
from serinus.telemetry.metrics import Metrics
from tests.app.conftest import Written
from tests.support import models

FOUND = (TensorSpec("x", DType.FP32, ("n", 8), 0), TensorSpec("text", DType.BYTES, ("n",), 0))


def spec(path: Path = Path("1.onnx"), **options: Any) -> ModelSpec:
    return ModelSpec(name="m", versions={1: path}, **options)


def declared(name: str, dtype: str, *dims: int) -> TensorDeclaration:
    return TensorDeclaration(name=name, dtype=dtype, dims=dims)


@pytest.mark.parametrize(
    ("max_batch_size", "declarations"),
    [
        (8, []),
        (8, [declared("x", "FP32", 8), declared("text", "BYTES")]),
        (8, [declared("x", "FP32", -1)]),
        (0, [declared("x", "FP32", -1, 8)]),
        (None, [declared("text", "BYTES", 5)]),  # the model's length is open
    ],
)
def test_declarations_that_fit_the_model_pass(max_batch_size: int | None, declarations: list[TensorDeclaration]):
    """-1 fits any length, in both directions; the batch axis is declared by the rows."""
    check_declarations(spec(max_batch_size=max_batch_size), declarations, FOUND, "input")


@pytest.mark.parametrize(
    ("max_batch_size", "declaration", "message"),
    [
        (8, declared("z", "FP32", 8), "input 'z': the model has ['text', 'x']"),
        (8, declared("x", "FP16", 8), "input 'x': the configuration says FP16 [-1, 8], the model FP32 [-1, 8]"),
        (8, declared("x", "FP32", 9), "input 'x': the configuration says FP32 [-1, 9], the model FP32 [-1, 8]"),
        (8, declared("x", "FP32"), "input 'x': the configuration says FP32 [-1], the model FP32 [-1, 8]"),
        (0, declared("x", "FP32", 8), "input 'x': the configuration says FP32 [8], the model FP32 [-1, 8]"),
        (8, declared("x", "FP32", 1, 8), "input 'x': the configuration says FP32 [-1, 1, 8], the model FP32 [-1, 8]"),
    ],
)
def test_declarations_that_contradict_the_model_are_refused(
    max_batch_size: int, declaration: TensorDeclaration, message: str
):
    """With both sides of the contradiction."""
    with pytest.raises(ModelRejected) as refused:
        check_declarations(spec(max_batch_size=max_batch_size), [declaration], FOUND, "input")
    assert refused.value.message == message


class World:
    """A loader with everything that it needs."""

    def __init__(self, loader: VersionLoader, metrics: Metrics, budget: ByteBudget) -> None:
        self.load = loader
        self.metrics = metrics
        self.budget = budget


@pytest.fixture
def world() -> Callable[[], contextlib.AbstractAsyncContextManager[World]]:
    @contextlib.asynccontextmanager
    async def made() -> AsyncIterator[World]:
        metrics = Metrics(CollectorRegistry())
        budget = ByteBudget(1 << 20)
        with ComputePool(1) as pool, ThreadPoolExecutor(1) as threads:
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                loader = VersionLoader(
                    pool=pool,
                    slots=RunSlots(1),
                    budget=budget,
                    metrics=metrics,
                    providers=("cpu",),
                    tasks=tasks,
                    threads=threads,
                )
                yield World(loader, metrics, budget)

    return made


def file(folder: Path, content: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


def request(value: float = 1.0) -> Request:
    return Request({"x": np.full((2, 8), value, np.float32)}, deadline=1e12, size_bytes=64)


async def test_a_version_answers_until_it_is_closed(world, tmp_path: Path):
    """Its calls are counted under it; then it refuses, and is over when its task is."""
    async with world() as made:
        served = await made.load(spec(file(tmp_path, models.tabular())), 1)
        response = await served.predict(request())
        weights, bias = models.tabular_weights()
        np.testing.assert_allclose(response.outputs["y"], np.ones((2, 8), np.float32) @ weights + bias, rtol=1e-6)
        assert (str(response.answered_by), served.max_rows) == ("m@1.0.0", 256)
        await served.close()
        with pytest.raises(Draining):
            await served.predict(request())
        (metrics,) = made.metrics.models()
        assert (metrics.answered_calls, metrics.rows, made.budget.used) == (1, 2, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": [declared("z", "FP32", -1, 8)]}, "input 'z': the model has ['x']"),
        (
            {"outputs": [declared("y", "FP32", -1, 5)]},
            "output 'y': the configuration says FP32 [-1, 5], the model FP32 [-1, 4]",
        ),
        (
            {
                "warm_up": [
                    {
                        "name": "s",
                        "inputs": {"x": {"dtype": "FP32", "dims": [1, 8], "fill": "file", "file": "/nowhere"}},
                    }
                ]
            },
            "warm-up input 'x': its data file does not hold FP32 [1, 8]",
        ),
    ],
)
async def test_a_version_that_contradicts_what_was_said_is_refused(
    world, tmp_path: Path, options: dict[str, Any], message: str
):
    """And nothing of it is left, not even a counter."""
    async with world() as made:
        with pytest.raises(ModelRejected) as refused:
            await made.load(spec(file(tmp_path, models.tabular()), **options), 1)
        assert refused.value.message == message
        assert made.metrics.models() == ()


@pytest.mark.usefixtures("logs")
async def test_notes_of_the_model_are_in_the_log(world, tmp_path: Path, written: Written):
    """A model that mixes its rows is served alone, and the operator reads why."""
    async with world() as made:
        served = await made.load(spec(file(tmp_path, models.batch_leak())), 1)
        await served.close()
    notes = [event for event in written.events if event["event"] == "model note"]
    assert len(notes) >= 1
    assert {(note["model"], note["version"]) for note in notes} == {("m", "1.0.0")}


async def test_a_load_whose_caller_goes_away_leaves_nothing_behind(world, tmp_path: Path):
    """Not even a task that would hold the server up when it ends."""
    async with world() as made:
        for steps in range(6):
            loading = asyncio.create_task(made.load(spec(file(tmp_path, models.tabular())), 1))
            for _ in range(steps):
                await asyncio.sleep(0)
            loading.cancel()
            await asyncio.wait((loading,))
            assert loading.cancelled()
