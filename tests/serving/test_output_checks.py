"""Answers that cannot be meant are told from those that look odd beside them."""

import asyncio
import dataclasses

import ml_dtypes
import numpy as np
import pytest

from serinus.core.predictor import Request, Response, Tensors
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.batcher import Batcher
from serinus.serving.batching.slots import RunSlots
from serinus.serving.output_checks import OutputCheck
from tests.support.fakes import FAKE_VERSION, TAGGED, FakeBatchMetrics, FakeRunner, request
from tests.support.virtual_loop import virtual

NAN = float("nan")
FLOAT, BF16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)


def is_invalid(outputs: Tensors, *, nonfinite_rows: int = 1, **ranges: tuple[float, float]) -> bool:
    """Of an answer from a run that had such rows."""
    return OutputCheck(ranges).is_invalid(Response(outputs, FAKE_VERSION, nonfinite_rows=nonfinite_rows))


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (np.array([1, NAN], FLOAT), True),
        (np.array([1, float("inf")], FLOAT), True),
        (np.array([1, NAN], BF16), True),
        (np.array([1, 2], FLOAT), False),
        (np.array([1, 2], np.int64), False),
        (np.array([b"nan"], np.object_), False),
        (np.zeros((0, 4), FLOAT), False),
    ],
)
def test_what_is_not_finite_is_invalid(tensor: np.ndarray, *, expected: bool):
    """In its own rows: those of a neighbour in the same run are the neighbour's."""
    assert is_invalid({"y": tensor}) is expected


def test_nothing_is_looked_at_where_the_run_was_finite():
    """The model has counted already; the check costs nothing."""
    assert not is_invalid({"y": np.array([NAN], FLOAT)}, nonfinite_rows=0)


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (np.array([0, 1], FLOAT), False),
        (np.array([0, 1.5], FLOAT), True),
        (np.array([-0.5], FLOAT), True),
        (np.array([0.5, NAN], FLOAT), True),
        (np.array([0.5, 2], BF16), True),
        (np.array([2], np.int64), True),
        (np.array([True, False]), False),
        (np.array([b"text"], np.object_), False),
        (np.zeros((0, 4), FLOAT), False),
    ],
)
def test_what_is_out_of_range_is_invalid(tensor: np.ndarray, *, expected: bool):
    """Both ends belong to the range; NaN is in none; text has none; no rows break none."""
    assert is_invalid({"y": tensor}, nonfinite_rows=0, y=(0, 1)) is expected


def test_an_output_that_was_not_asked_for_is_not_missed():
    """Its range waits for a call that wants it."""
    assert not is_invalid({"y": np.array([5], FLOAT)}, z=(0, 1))


class NonfiniteRunner(FakeRunner):
    """Says of each run that one of its rows is not finite."""

    def run(self, request: Request, /) -> Response:
        return dataclasses.replace(super().run(request), nonfinite_rows=1)

    async def predict(self, request: Request, /) -> Response:
        return dataclasses.replace(await super().predict(request), nonfinite_rows=1)


@pytest.mark.parametrize("alone", [True, False])
@virtual
async def test_each_answer_says_whether_its_run_was_finite(*, alone: bool):
    """Alone, joined with others, or taken apart into several runs."""
    async with Batcher(
        NonfiniteRunner(TAGGED, quick_rows=8 if alone else 0),
        policy=BatchPolicy(max_rows=4),
        slots=RunSlots(1),
        metrics=FakeBatchMetrics(),
        clock=asyncio.get_running_loop().time,
    ) as batcher:
        calls = [request(1), request(2, 3), request(4, 5, 6, 7, 8)]
        for each in calls:
            each.alone = alone
        answers = await asyncio.gather(*[batcher.predict(each) for each in calls])
    assert [answer.nonfinite_rows for answer in answers] == [1, 1, 2]
