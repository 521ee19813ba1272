"""Traffic of ever other shapes, and what it does to a server's memory."""

import dataclasses
import itertools
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.rising import rising
from serinus.bench.load import closed_loop
from serinus.bench.transports import Way, opened

MODEL = "varied"
_WIDTH = 64
_MOST_ROWS, _MOST_LENGTH = 8, 384
_SHAPES = 2000  # each of them is sent many times in an hour, and few of them in a minute twice
_CALLERS = 8


@dataclasses.dataclass(frozen=True)
class Growth:
    """Memory over time.

    Attributes:
        minutes: When it was looked at.
        mib: What there was.
        calls: Made in all.
        failed: Of them.
    """

    minutes: list[float]
    mib: list[float]
    calls: int
    failed: int

    @property
    def slope_mib_per_h(self) -> float:
        """Theil-Sen over the last two thirds: the first one warms up."""
        return self.slopes_mib_per_h[0]

    @property
    def slopes_mib_per_h(self) -> tuple[float, float, float]:
        """The same, and the ends of its 95 % interval."""
        slope, low, high = rising(self.minutes, self.mib)
        return slope * 60, low * 60, high * 60


def varied(folder: Path) -> Path:
    """[N, L, 64] → [N, L, 64]: memory for intermediate values depends on both free axes."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((_WIDTH, _WIDTH), np.float32) / np.float32(8), name)
        for name in "ab"
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", "L", _WIDTH]) for name in "xy")
    path = folder / "varied.onnx"
    graph = helper.make_graph(nodes, MODEL, [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


async def grow(target: str, minutes: float, look_mib: Callable[[], Awaitable[float]], *, looks: int = 30) -> Growth:
    """Send shapes to a server for so long, and look at its memory so many times, evenly, when it has answered."""
    rng = np.random.default_rng(1)
    inputs: list[dict[str, npt.NDArray[Any]]] = [
        {"x": np.broadcast_to(np.float32(0.5), (rows, length, _WIDTH))}
        for rows, length in zip(
            rng.integers(1, _MOST_ROWS + 1, _SHAPES), rng.integers(1, _MOST_LENGTH + 1, _SHAPES), strict=True
        )
    ]
    found = Growth([], [], 0, 0)
    began = time.monotonic()
    first = itertools.count()
    async with opened(target, MODEL, inputs, Way.FRAMES) as call:

        async def next_shape(_number: int, timeout_s: float, /) -> int:
            """Where the last part stopped, goes the next one on."""
            return await call(next(first), timeout_s)

        for _ in range(looks):
            run = await closed_loop(next_shape, callers=_CALLERS, duration_s=minutes * 60 / looks)
            found.minutes.append((time.monotonic() - began) / 60)
            found.mib.append(await look_mib())
            found = dataclasses.replace(found, calls=found.calls + run.calls, failed=found.failed + run.failed)
    return found
