"""Quantizing a model from its file to the verdict, in child processes."""

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

import numpy as np
import onnx
import pytest

from serinus.config.models import ModelOptions
from serinus.core.errors import InvalidInput, ModelRejected
from serinus.runtime.quantization.quantizer import QuantizationLimits, Quantizer
from serinus.runtime.quantization.report import QuantizationBounds
from tests.runtime.quantization.quantization_models import dense, dense_rows, fragile, fragile_rows
from tests.support.models import real_model

QUICK = QuantizationLimits(memory_bytes=8 << 30, timing_s=0.5)


@pytest.fixture
def out(tmp_path):
    """The private folder of whoever quantizes."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path):
    """A function from a model file's bytes to its path."""

    def write(content: bytes):
        path = tmp_path / "source.onnx"
        path.write_bytes(content)
        return path

    return write


async def run(path, rows, out, *, recipes=(), bounds=None, limits=QUICK, **how):
    quantizer = Quantizer(limits, **how)
    async with aclosing(
        quantizer.quantize(path, ModelOptions(), rows, out, recipes=recipes, bounds=bounds)
    ) as progress:
        return [step async for step in progress]


def check(steps, bounds, out):
    """What always holds of a report: one row a recipe, accepted within the bounds alone, the fastest accepted wins."""
    report, model_file = steps[-1].report, steps[-1].model_file
    accepted = [row for row in report.results[1:] if row.accepted]
    for row in accepted:
        assert row.argmax_agreement >= bounds.min_argmax_agreement
        assert row.min_cosine >= bounds.min_cosine
        assert row.rows_per_s >= bounds.min_speedup * report.results[0].rows_per_s
    for row in report.results:
        assert row.accepted or row.reason
    fastest = max(accepted, key=lambda row: row.rows_per_s, default=None)
    assert report.winner == (fastest.recipe if fastest else "")
    assert [step.result for step in steps if step.result] != []
    assert {step.result.recipe for step in steps if step.result} == {row.recipe for row in report.results}
    if fastest is None:
        assert model_file is None
        assert report.sentence.startswith("keep the float model")
        assert list(out.iterdir()) == []
    else:
        assert list(out.iterdir()) == [model_file]
        assert model_file.stat().st_size == fastest.size_bytes
        assert onnx.load(model_file).graph.node
    return report


async def test_the_best_form_is_left_in_the_folder(source, out):
    """And nothing else: the workbench is gone."""
    # Whoever allows a form to be slow gets one: on this machine or that, another one is faster.
    bounds = QuantizationBounds(min_speedup=0.001)
    steps = await run(source(dense()), dense_rows(), out, recipes=["fp16", "dynamic-matmul"], bounds=bounds)
    report = check(steps, bounds, out)
    assert [row.recipe for row in report.results] == ["float", "dynamic-matmul", "fp16"]
    assert report.winner
    assert report.results[0].size_bytes == len(dense())
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert {step.total for step in steps} == {2}


async def test_the_float_model_is_kept_when_nothing_agrees(source, out):
    """The folder stays empty, and a recipe that does not apply says why."""
    steps = await run(source(fragile()), fragile_rows(), out, recipes=["dynamic-matmul", "dynamic-all"])
    report = check(steps, QuantizationBounds(), out)
    assert report.winner == ""
    assert report.results[2].reason == "only matrix multiplications could be quantized: see dynamic-matmul"


@pytest.mark.parametrize(
    ("rows", "recipes", "message"),
    [
        ({}, (), "expected --calibration, golden requests or --traffic-rows"),
        (dense_rows(), ["int4"], "unknown recipe 'int4'"),
        ({"x": np.zeros((2, 3), np.float32)}, (), r"expected shape \[-1, 64\], got \[2, 3\]"),
    ],
)
async def test_what_cannot_be_meant_is_refused(source, out, rows, recipes, message):
    """Before any recipe is tried; nothing is left."""
    with pytest.raises(InvalidInput, match=message):
        await run(source(dense()), rows, out, recipes=recipes)
    assert list(out.iterdir()) == []


async def test_a_file_that_is_no_model_is_rejected(source, out):
    """As when it is served."""
    with pytest.raises(ModelRejected, match=r"the model cannot be quantized: .* is not an ONNX model"):
        await run(source(b"nothing"), dense_rows(), out)
    assert list(out.iterdir()) == []


async def test_tools_that_crash_on_everything_reject_the_model(source, out):
    """Preparing is tried again in a plainer way, and then given up."""
    crash = (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(ModelRejected, match="crashed"):
        await run(source(dense()), dense_rows(), out, command=crash)
    assert list(out.iterdir()) == []


async def test_recipes_for_which_no_time_is_left_are_not_tried(source, out):
    """The float model is timed all the same, and kept."""
    limits = QuantizationLimits(timing_s=0.2, total_s=1.0)
    steps = await run(source(dense()), dense_rows(), out, recipes=["fp16"], limits=limits)
    report = check(steps, QuantizationBounds(), out)
    assert report.results[1].reason == "no time was left for it of the 1 s"


async def test_whoever_leaves_early_leaves_nothing_behind(source, out):
    """Neither a process nor a file, whether between two steps or in the middle of one."""
    quantizer = Quantizer(QUICK)
    path = source(dense())
    async with aclosing(quantizer.quantize(path, ModelOptions(), dense_rows(), out)) as progress:
        assert (await anext(progress)).stage == "preparing the model"
        assert list(out.iterdir()) != []
    assert list(out.iterdir()) == []

    started = asyncio.Event()

    async def watch() -> None:
        async for _ in quantizer.quantize(path, ModelOptions(), dense_rows(), out):
            started.set()

    task = asyncio.create_task(watch())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(out.iterdir()) == []


def file_windows() -> np.ndarray:
    """Beginnings and ends of real files, one of each kind, as magika reads them: INT32 [rows, 2048]."""
    files = sorted(path for path in Path(np.__file__).parent.rglob("*.*") if path.stat().st_size > 1024)
    contents = [path.read_bytes() for path in {path.suffix: path for path in files}.values()]
    return np.array([[*content[:1024], *content[-1024:]] for content in contents], np.int32)


async def test_a_real_model_is_measured_before_anything_is_claimed(out):
    """Magika: its arithmetic loses by quantization, its convolution does not; what is faster here is not assumed."""
    recipes = ["static-qdq-tensor", "static-qdq-exclude"]
    limits = QuantizationLimits(timing_s=1.0)
    steps = await run(real_model("magika"), {"bytes": file_windows()}, out, recipes=recipes, limits=limits)
    report = check(steps, QuantizationBounds(), out)
    row = {row.recipe: row for row in report.results}
    assert row["static-qdq-tensor"].min_cosine < row["static-qdq-exclude"].min_cosine
    assert row["static-qdq-exclude"].size_bytes < 0.5 * row["float"].size_bytes
    assert "arithmetic" in row["static-qdq-exclude"].reason
