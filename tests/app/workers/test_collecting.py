"""Inputs of calls, collected from all workers of a machine."""

from collections.abc import Sequence

import numpy as np
import pytest

from serinus.app.workers.collecting import Collecting
from serinus.core.dtypes import DType
from serinus.core.errors import NotFound
from serinus.core.predictor import Tensors
from serinus.core.signature import Signature, TensorSpec
from serinus.core.version import ModelVersion, Version
from serinus.workers.control import Body

VERSION = ModelVersion("m", Version(1), 3)
TEXT = TensorSpec("text", DType.BYTES, ("N",), batch_axis=0)
X = TensorSpec("x", DType.FP32, ("N", "L"), batch_axis=0)


def calls(first: int, rows: int, width: int = 2) -> Tensors:
    """Rows that say their number."""
    numbers = np.arange(first, first + rows, dtype=np.float32)
    return {
        "x": np.repeat(numbers[:, None], width, axis=1),
        "text": np.array([str(int(number)).encode() for number in numbers], object),
    }


class Served:
    """A version to which calls come as they are given, those of one turn at a time."""

    def __init__(self, *turns: Tensors | None) -> None:
        self.signature = Signature(inputs=(X, TEXT), outputs=())
        self._turns = list(turns)

    async def collect(self, rows: int, *, timeout_s: float) -> Tensors:
        assert 0 < timeout_s <= 1.0
        found = self._turns.pop(0) if self._turns else None
        if found is None:
            raise NotFound("no call came")
        return {name: tensor[:rows] for name, tensor in found.items()}


def pair(mine: Served, theirs: Served) -> tuple[Collecting, list[Body]]:
    """What one worker collects, and what it has asked the other one for."""
    asked: list[Body] = []

    async def nobody(_kind: str, _body: Body, *, wait_s: float) -> Sequence[Body]:
        raise AssertionError(wait_s)

    async def ask(kind: str, body: Body, *, wait_s: float) -> Sequence[Body]:
        assert (kind, wait_s) == ("collect", pytest.approx(body["wait_s"] + 2.0))
        asked.append(body)
        try:
            return [await Collecting(lambda _model, _version: theirs, nobody).answer(body)]
        except NotFound:
            return []

    return Collecting(lambda _model, _version: mine, ask), asked


async def test_calls_that_met_another_worker_are_collected_as_well():
    """Turn by turn, until there are as many rows as were asked for, and no more; any type of tensor."""
    collecting, asked = pair(Served(calls(0, 2), None, calls(20, 5)), Served(calls(10, 1), calls(11, 2)))
    found = await collecting.collect(VERSION, 6, 60.0)
    np.testing.assert_array_equal(found["x"][:, 0], [0, 1, 10, 11, 12, 20])
    assert found["text"].tolist() == [b"0", b"1", b"10", b"11", b"12", b"20"]
    assert [(body["model"], body["version"], body["rows"]) for body in asked] == [("m", "3", n) for n in (6, 3, 1)]


async def test_rows_that_do_not_stack_with_the_first_are_left_out():
    """As where one worker collects; fewer rows are rows too."""
    collecting, _ = pair(Served(calls(0, 2)), Served(calls(10, 3, width=5)))
    found = await collecting.collect(VERSION, 4, 0.05)
    np.testing.assert_array_equal(found["x"], [[0, 0], [1, 1]])


async def test_without_a_call_there_is_nothing_to_learn_from():
    """At any worker, within the time that was given."""
    collecting, _ = pair(Served(), Served())
    with pytest.raises(NotFound, match="no call came"):
        await collecting.collect(VERSION, 4, 0.05)


async def test_what_is_too_long_to_be_handed_on_is_cut():
    """The channel to the supervisor carries everything else as well."""
    _, many = calls(0, 1), Served(calls(0, 8, width=500_000))
    answer = await Collecting(lambda _model, _version: many, ask_nobody).answer(
        {"model": "m", "version": "3", "rows": 8, "wait_s": 1.0}
    )
    assert [each["shape"] for each in answer["tensors"]] == [[4, 500_000], [4]]
    with pytest.raises(NotFound, match="too long to be handed on"):
        await Collecting(lambda _model, _version: Served(calls(0, 1, width=3_000_000)), ask_nobody).answer(
            {"model": "m", "version": "3", "rows": 8, "wait_s": 1.0}
        )


async def ask_nobody(_kind: str, _body: Body, *, wait_s: float) -> Sequence[Body]:
    raise AssertionError(wait_s)
