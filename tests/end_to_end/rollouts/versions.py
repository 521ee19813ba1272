"""Small versions of one model that fare badly with the calls that their callers choose."""

import numpy as np
from onnx import TensorProto, helper

from serinus.core.dtypes import DType
from serinus.runtime.sabotage import Fault, sabotaged
from tests.end_to_end.registry.places import Place, times
from tests.end_to_end.rollouts.callers import Question
from tests.support import models

GOOD, BAD = 50.0, 1.0
"""First value of a call that every version answers, and of one that those made by `faulty` do not."""
_PERCENT = 10  # of the whole numbers below 100, those that are bad


def faulty(place: Place, factor: float, fault: Fault, *, work: int = 40) -> bytes:
    """y = x * factor, but for calls whose first value is BAD; a slow one is slow with all."""
    return sabotaged(place.file(times(factor)), fault, percent=_PERCENT, work=work)


def question(first: float = GOOD, **factors: float) -> Question:
    """A call, and by what each version multiplies; `v1_1_0=3.0` for version 1.1.0."""
    x = np.array([[first, 0]], np.float32)
    return Question({"x": x}, {name[1:].replace("_", "."): {"y": x * factor} for name, factor in factors.items()})


async def two_versions(place: Place, candidate: bytes, *, stable: bytes | None = None, model: str = "m") -> None:
    """Register 1.0.0, which is stable and multiplies by 2, and 1.1.0, and wait until the first serves."""
    await place.register(model, "1.0.0", times(2) if stable is None else stable)
    await place.register(model, "1.1.0", candidate)
    await place.client.admin.load_model(model)


def looping(usual: int, bad: int) -> bytes:
    """y = x, after `usual` turns, or `bad` ones if a first value is BAD; a million takes two seconds and more."""
    turn = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("MatMul", ["state", "eye"], ["next"])],
        "turn",
        [
            models.value("turn", DType.INT64, []),
            models.value("go", DType.BOOL, []),
            models.value("state", DType.FP32, ["N", 2]),
        ],
        [models.value("go_on", DType.BOOL, []), models.value("next", DType.FP32, ["N", 2])],
    )
    nodes = [
        helper.make_node("Equal", ["x", "bad_one"], ["is_bad"]),
        helper.make_node("Cast", ["is_bad"], ["bad_ones"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["bad_ones"], ["has_bad"], keepdims=0),
        helper.make_node("Mul", ["has_bad", "more"], ["extra"]),
        helper.make_node("Add", ["extra", "usual"], ["trips"]),
        helper.make_node("Loop", ["trips", "true", "x"], ["y"], body=turn),
    ]
    constants = {
        "bad_one": np.float32(BAD),
        "more": np.int64(bad - usual),
        "usual": np.int64(usual),
        "true": np.array(True),
        "eye": np.eye(2, dtype=np.float32),
    }
    return models.build(
        nodes,
        [models.value("x", DType.FP32, ["N", 2])],
        [models.value("y", DType.FP32, ["N", 2])],
        [models.constant(name, value) for name, value in constants.items()],
    )
