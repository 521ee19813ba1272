"""Row 50: models that do not come to an end, on a server with one worker."""

import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest
from onnx import TensorProto, helper

from serinus.core.dtypes import DType
from serinus_client import AsyncClient, DeadlineExceeded, Transport
from tests.end_to_end.workers.supervised import Supervised, supervised
from tests.support import models
from tests.support.running_clock import running_clock

ENDLESS = {"x": np.ones((1, 128), np.float32), "trips": np.array(1 << 40, np.int64)}
QUICK = {**ENDLESS, "trips": np.array(1, np.int64)}
PATIENCE_S = 0.5
_CONFIG = """
[compute]
threads = 2
hang_s = 0.5
"""


def _stubborn() -> bytes:
    """`boxes` INT64 [1] -> y INT64 [M,3]: one node that compares each with each; of a million it takes many minutes."""
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    nodes = [
        helper.make_node("Concat", ["one", "boxes", "four"], ["corners"], axis=0),
        helper.make_node("Concat", ["one", "one", "boxes"], ["each"], axis=0),
        helper.make_node("ConstantOfShape", ["corners"], ["places"], value=zero),
        helper.make_node("ConstantOfShape", ["each"], ["scores"], value=zero),
        helper.make_node("NonMaxSuppression", ["places", "scores", "boxes", "most"], ["y"]),
    ]
    constants = [
        models.constant("one", np.array([1], np.int64)),
        models.constant("four", np.array([4], np.int64)),
        models.constant("most", np.array([1.0], np.float32)),
    ]
    boxes = models.value("boxes", DType.INT64, [1])
    return models.build(nodes, [boxes], [models.value("y", DType.INT64, ["M", 3])], constants)


@pytest.fixture(scope="session")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """One worker with models that may hang."""
    folder = tmp_path_factory.mktemp("hangs")
    (folder / "serinus.toml").write_text(_CONFIG)
    for name, content in (("tab", models.tabular()), ("loop", models.counted_loop()), ("stubborn", _stubborn())):
        (folder / f"{name}.onnx").write_bytes(content)
    named = [f"--model={name}={name}.onnx" for name in ("tab", "loop", "stubborn")]
    with supervised(folder, 1, *named, "--config=serinus.toml") as server:
        yield server


async def _gives_up(client: AsyncClient, model: str, inputs: dict[str, np.ndarray]) -> None:
    """A call ends at its deadline, and not before and not long after."""
    clock = running_clock()
    began, began_running = time.monotonic(), clock.now()
    with pytest.raises(DeadlineExceeded):
        await client.predict(model, inputs, timeout_s=PATIENCE_S)
    assert time.monotonic() - began > PATIENCE_S - 0.05
    assert clock.now() - began_running < PATIENCE_S + 1


async def test_a_loop_without_end_is_ended(lonely: Supervised) -> None:
    """The caller hears in time, others are answered meanwhile, the run is told to end, and the model runs again."""
    before = lonely.workers()
    async with AsyncClient(lonely.target, transport=Transport.UNARY) as client:
        hanging = asyncio.create_task(_gives_up(client, "loop", ENDLESS))
        took_s = []
        clock = running_clock()
        while not hanging.done():
            began = clock.now()
            await client.predict("tab", {"x": np.ones((1, 8), np.float32)}, timeout_s=30)
            took_s.append(clock.now() - began)
        await hanging
        assert max(took_s) < PATIENCE_S
        await lonely.until("run told to end", 1)
        await client.predict("loop", QUICK, timeout_s=30)
    assert (lonely.workers(), lonely.count("run does not end")) == (before, 0)


async def test_a_node_without_end_costs_the_worker(lonely: Supervised) -> None:
    """It cannot be told: the worker is replaced, by one that serves everything, before it ends."""
    before = lonely.workers()
    async with AsyncClient(lonely.target, transport=Transport.UNARY) as client:
        await _gives_up(client, "stubborn", {"boxes": np.array([1_000_000], np.int64)})
        await lonely.until("worker stuck", 1)
        await lonely.until("worker ready", 2)
        for model, inputs in (("tab", {"x": np.ones((1, 8), np.float32)}), ("loop", QUICK)):
            await client.predict(model, inputs, timeout_s=30)
    assert lonely.count("run does not end") == 1
    assert not set(lonely.workers().values()) & set(before.values())
