"""Where and how long a model runs: sessions made by hand."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from onnxruntime import RunOptions

from serinus.core.dtypes import DType
from serinus.core.errors import BadModelOutput
from serinus.core.predictor import Request, Tensor
from serinus.core.signature import Signature, TensorSpec
from serinus.core.version import ModelVersion, Version
from serinus.runtime.model import OnnxModel
from serinus.runtime.options import SessionOptions

SIGNATURE = Signature((TensorSpec("x", DType.FP32, ("N", 2), 0),), (TensorSpec("y", DType.FP32, ("N", 2), 0),))
REQUEST = Request({"x": np.zeros((1, 2), np.float32)}, deadline=0.0)


class FakeSession:
    """Answers through a function."""

    def __init__(self, answer: Callable[[Tensor], list[Tensor]]) -> None:
        self.answer = answer

    def run(self, names: Sequence[str], feed: Mapping[str, Tensor], run_options: RunOptions) -> list[Tensor]:
        assert (list(names), run_options.terminate) == (["y"], False)
        return self.answer(feed["x"])


def model_of(session: FakeSession, pool) -> OnnxModel:
    return OnnxModel(ModelVersion("example", Version(1), 1), session, SIGNATURE, SessionOptions(), pool)


async def test_a_quick_run_stays_on_the_event_loop_and_a_slow_one_leaves_it(compute_pool):
    """200 microseconds are the border; an unknown cost is on the far side."""
    threads: list[bool] = []

    def answer(x: Tensor) -> list[Tensor]:
        threads.append(threading.current_thread() is threading.main_thread())
        return [x]

    for cost_s in (0.0, 100e-6, 300e-6):
        model = model_of(FakeSession(answer), compute_pool)
        if cost_s:
            model.cost.observe(1, cost_s)
        await model.predict(REQUEST)
    assert threads == [False, True, False]


async def test_a_run_under_way_outlives_the_close(compute_pool):
    """The session goes when the run is over, not before: onnxruntime would crash."""
    started, finish = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def answer(x: Tensor) -> list[Tensor]:
        loop.call_soon_threadsafe(started.set)
        finish.wait(10)
        return [x]

    session = FakeSession(answer)
    alive = weakref.ref(session)
    model = model_of(session, compute_pool)
    del session
    run = asyncio.create_task(model.predict(REQUEST))
    await started.wait()
    model.close()
    gc.collect()
    assert alive() is not None
    finish.set()
    assert (await run).outputs["y"].shape == (1, 2)
    # Once both threads are here, neither holds on to the run.
    both = threading.Barrier(2, timeout=10)
    await asyncio.gather(compute_pool.run(both.wait), compute_pool.run(both.wait))
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([], "the model gave 0 outputs: expected 1"),
        ([np.zeros((2, 2))], "the model gave the output 'y' the shape [2, 2]: expected 1 rows on axis 0"),
        ([np.zeros(())], "the model gave the output 'y' the shape []: expected 1 rows on axis 0"),
    ],
)
def test_outputs_that_the_signature_does_not_allow_are_refused(compute_pool, outputs, message):
    """Their number, their rows and their axes are checked."""
    with pytest.raises(BadModelOutput) as caught:
        model_of(FakeSession(lambda _: outputs), compute_pool).run(REQUEST)
    assert caught.value.message == message


def test_no_rows_teach_no_costs(compute_pool):
    """An empty run is neither quick nor slow."""
    model = model_of(FakeSession(lambda x: [x]), compute_pool)
    model.run(Request({"x": np.zeros((0, 2), np.float32)}, deadline=0.0, rows=0))
    assert repr(model.cost) == "<CostModel []>"
