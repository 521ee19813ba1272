"""Which calls share a run, and that rows come back as they went in."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.dtypes import DType
from serinus.core.errors import BadModelOutput
from serinus.core.predictor import Request, Tensor
from serinus.core.signature import Signature, TensorSpec
from serinus.serving.batching.joining import Joiner
from tests.serving.batching.batchers import batcher
from tests.support.fakes import FAR, TAGGED, FakeRunner, spec
from tests.support.virtual_loop import virtual

WITH_RATE = Signature(
    (spec("x", "n", "length"), TensorSpec("rate", DType.FP32, (), None, optional=True)), (spec("y", "n", "length"),)
)
WITH_WORDS = Signature(
    (spec("x", "n", 1), spec("words", "k", dtype=DType.BYTES, batch_axis=None)), (spec("y", "n", 1),)
)
SECOND_AXIS = Signature(
    (spec("x", "n", 1), spec("state", 2, "n", 3, batch_axis=1)),
    (spec("y", "n", 1), spec("next", 2, "n", 3, batch_axis=1)),
)


def words(*texts: bytes) -> Tensor:
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ({"x": np.zeros((1, 4))}, {"x": np.zeros((7, 4))}, True),
        ({"x": np.zeros((1, 4))}, {"x": np.zeros((1, 5))}, False),
        ({"x": np.zeros((1, 4))}, {"x": np.zeros((1, 4)), "rate": np.float32(1)}, False),
        ({"x": np.zeros((1, 4)), "rate": np.float32(1)}, {"rate": np.float32(1), "x": np.zeros((3, 4))}, True),
        # One bit apart, zeros of two signs, and not-a-number, which equals nothing but has the same bits.
        ({"rate": np.float32(1)}, {"rate": np.nextafter(np.float32(1), np.float32(2))}, False),
        ({"rate": np.float32(0.0)}, {"rate": np.float32(-0.0)}, False),
        ({"rate": np.float32(np.nan)}, {"rate": np.float32(np.nan)}, True),
    ],
)
def test_equal_keys_are_calls_that_can_be_joined(first: dict, second: dict, equal: object):
    """Lengths off the batch axis, the names of the inputs, and every bit of what has no batch axis."""
    joiner = Joiner(WITH_RATE)
    assert (joiner.key(first) == joiner.key(second)) is equal


def test_words_are_compared_by_value_and_place():
    """An input of strings without a batch axis; no two lists look alike when joined up."""
    joiner = Joiner(WITH_WORDS)
    lists = [words(), words(b""), words(b"a", b"b"), words(b"ab"), words(b"b", b"a"), words(b"a", b"b", b"")]
    keys = [joiner.key({"x": np.zeros((1, 1)), "words": each}) for each in lists]
    assert len(set(keys)) == len(lists)
    assert keys[2] == joiner.key({"x": np.ones((5, 1)), "words": words(b"a", b"b")})


def test_a_model_with_one_shape_has_one_key():
    """Nothing to look at in each call."""
    assert Joiner(TAGGED).key({"x": np.zeros((3, 1))}) is None


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.sampled_from([0, 1, 2]))
def test_splitting_undoes_joining(lengths: list[int], axis: int):
    """On any axis, with any rows, empty calls included."""
    shape = [2, 3, 4]
    joiner = Joiner(Signature((spec("x", "a", "b", "c", batch_axis=axis),), ()))
    tags = iter(range(10_000))
    parts = []
    for rows in lengths:
        shape[axis] = rows
        parts.append({"x": np.array([next(tags) for _ in range(int(np.prod(shape)))], np.int64).reshape(shape)})
    shares = joiner.split(joiner.join(parts), lengths)
    assert [share["x"].tolist() for share in shares] == [part["x"].tolist() for part in parts]


@pytest.mark.parametrize(
    ("outputs", "wanted", "rows", "message"),
    [
        ({"y": np.zeros((2, 1)), "next": np.zeros((2, 3, 3))}, (), 2, "expected 2 rows on axis 1, got shape [2, 3, 3]"),
        ({"y": np.zeros((2, 1)), "next": np.zeros(2)}, (), 2, "expected 2 rows on axis 1, got shape [2]"),
        ({"y": np.zeros((2, 1))}, ("y", "next"), 2, "expected of the model, got none"),
    ],
)
def test_outputs_are_checked_before_they_are_split(outputs: dict, wanted: tuple[str, ...], rows: int, message: str):
    """A slice would hide missing rows and drop extra ones."""
    with pytest.raises(BadModelOutput) as refused:
        Joiner(SECOND_AXIS).checked(outputs, wanted, rows)
    assert (refused.value.field, refused.value.message) == ("next", f"output 'next': {message}")


def test_outputs_that_nobody_wanted_are_not_looked_at():
    """A model may compute more than was asked for."""
    y = np.zeros((2, 1))
    assert Joiner(SECOND_AXIS).checked({"y": y, "next": None}, ("y",), 2) == {"y": y}


@virtual
async def test_calls_that_differ_by_a_bit_off_the_batch_axis_run_apart():
    """Joining them would give one of them the other's setting."""
    runner = FakeRunner(WITH_RATE)
    rates = [np.float32(1), np.nextafter(np.float32(1), np.float32(2)), np.float32(1), None]
    async with batcher(runner) as layer:
        calls = []
        for tag, rate in enumerate(rates):
            inputs = {"x": np.array([[tag]])} | ({} if rate is None else {"rate": np.array(rate)})
            calls.append(asyncio.create_task(layer.predict(Request(inputs, FAR))))
        await asyncio.gather(*calls)
    assert runner.runs == [[0, 2], [1], [3]]
    assert [run.inputs.get("rate") for run in runner.requests] == [rates[0], rates[1], None]


@virtual
async def test_a_batch_axis_other_than_the_first_is_joined_and_split():
    """Rows stand side by side in a state as a recurrent model has it, oversized calls included."""
    runner = FakeRunner(SECOND_AXIS, model=lambda inputs: {"y": inputs["x"], "next": inputs["state"] + 1})
    rng = np.random.default_rng(0)
    states = [rng.integers(0, 100, (2, rows, 3)) for rows in (1, 3, 300, 0)]
    async with batcher(runner) as layer:
        calls = [
            Request({"x": np.zeros((state.shape[1], 1), np.int64), "state": state}, FAR, rows=state.shape[1])
            for state in states
        ]
        ends = await asyncio.gather(*[layer.predict(each) for each in calls])
    assert [end.outputs["next"].tolist() for end in ends] == [(state + 1).tolist() for state in states]
    assert [run.inputs["state"].shape for run in runner.requests] == [(2, 4, 3), (2, 256, 3), (2, 44, 3)]
