"""Calls of different lengths that share a run: who, how they are filled up, and what each gets back."""

import asyncio
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.errors import ModelFailed
from serinus.core.padding import Cut, Fill, Padding
from serinus.core.predictor import Request, Tensors
from serinus.core.signature import Signature
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.batcher import Batcher
from serinus.serving.batching.joining import Joiner
from serinus.serving.batching.slots import RunSlots
from tests.serving.batching.batchers import batcher, call
from tests.support.fakes import (
    FAR,
    TAGGED_LENGTHS,
    FakeBatchMetrics,
    FakeCosts,
    FakeRunner,
    outcomes,
    request,
    settle,
    spec,
    tags_of,
)
from tests.support.virtual_loop import run_virtual, virtual

PADDED = Padding({"x": Fill(1, -1)}, {"y": Cut(1)})
HALVES = Padding({"x": Fill(1, -1)}, {"y": Cut(1, Fraction(1, 2))})
TWO_INPUTS = Signature(
    (spec("x", "n", "length"), spec("mask", "n", "length"), spec("other", "n", "k")), (spec("y", "n", "length"),)
)
TWO_PADDED = Padding({"x": Fill(1, 7), "mask": Fill(1, 0)}, {"y": Cut(1)})


def padded(
    runner: FakeRunner, *, padding: Padding = PADDED, policy: BatchPolicy | None = None, slots: int = 1
) -> Batcher:
    return Batcher(
        runner,
        policy=policy or BatchPolicy(),
        padding=padding,
        slots=RunSlots(slots),
        metrics=FakeBatchMetrics(),
        clock=asyncio.get_running_loop().time,
    )


def test_only_what_can_be_padded_is_left_out_of_the_key():
    """Another open axis, another set of inputs, and inputs that are not as long as each other keep calls apart."""
    joiner = Joiner(TWO_INPUTS, TWO_PADDED)

    def key(x: int, mask: int, other: int, rows: int = 1) -> object:
        return joiner.key({n: np.zeros((rows, k)) for n, k in (("x", x), ("mask", mask), ("other", other))})

    assert key(3, 3, 2) == key(5, 5, 2) == key(0, 0, 2, rows=4)
    assert len({key(3, 3, 2), key(3, 3, 4), key(3, 4, 2), key(4, 3, 2), key(5, 4, 2)}) == 5


def test_rows_are_filled_with_what_was_declared():
    """Each input with its own value; what is not padded is joined as ever."""
    joiner = Joiner(TWO_INPUTS, TWO_PADDED)
    parts = [
        {
            "x": np.ones((rows, length), np.int64),
            "mask": np.ones((rows, length), np.int64),
            "other": np.zeros((rows, 1)),
        }
        for rows, length in ((1, 3), (2, 1))
    ]
    assert joiner.padded_lengths(parts) == [3, 1]
    whole = joiner.join_padded(parts)
    assert whole["x"].tolist() == [[1, 1, 1], [1, 7, 7], [1, 7, 7]]
    assert whole["mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    assert whole["other"].shape == (3, 1)


def test_equal_lengths_are_joined_as_ever():
    """Nothing to fill up, nothing to cut."""
    joiner = Joiner(TAGGED_LENGTHS, PADDED)
    assert joiner.padded_lengths([{"x": np.zeros((1, 4))}, {"x": np.zeros((3, 4))}]) == []
    assert joiner.padded_lengths([{"x": np.zeros((1, 4))}]) == []


@virtual
async def test_calls_of_different_lengths_share_a_run():
    """Filled up to the longest; each gets its own length back."""
    runner = FakeRunner(TAGGED_LENGTHS)
    async with padded(runner) as layer:
        responses = await asyncio.gather(
            call(layer, 1, length=3), call(layer, 2, 3, length=5), call(layer, 4, length=1)
        )
    assert [run.inputs["x"].tolist() for run in runner.requests] == [
        [[1, 1, 1, -1, -1], [2, 2, 2, 2, 2], [3, 3, 3, 3, 3], [4, -1, -1, -1, -1]]
    ]
    assert [each.outputs["y"].tolist() for each in responses] == [[[1] * 3], [[2] * 5, [3] * 5], [[4]]]
    assert [each.batch_rows for each in responses] == [4, 4, 4]


@virtual
async def test_outputs_of_half_the_length_are_cut_to_half():
    """A call of a length that is no multiple runs with its equals."""
    runner = FakeRunner(TAGGED_LENGTHS, model=lambda inputs: {"y": inputs["x"][:, ::2]})
    async with padded(runner, padding=HALVES) as layer:
        responses = await asyncio.gather(*[call(layer, n, length=n) for n in (2, 6, 3, 4)])
    assert (runner.runs, [each.outputs["y"].shape[1] for each in responses]) == ([[2, 6, 4], [3]], [1, 3, 2, 2])


@virtual
async def test_outputs_that_cannot_be_cut_are_asked_for_again():
    """Alone nothing is padded, so that every call is answered all the same."""

    def model(inputs: Tensors) -> Tensors:
        x = inputs["x"]
        return {"y": x if (x >= 0).all() else x[:, :1]}

    runner = FakeRunner(TAGGED_LENGTHS, model=model)
    async with padded(runner) as layer:
        responses = await asyncio.gather(*[call(layer, n, length=n) for n in (2, 3)])
    assert [each.outputs["y"].tolist() for each in responses] == [[[2, 2]], [[3, 3, 3]]]
    assert runner.runs == [[2, 3], [2], [3]]


@virtual
async def test_poison_among_padded_calls_harms_nobody_else():
    """The halves of a run are filled up to their own longest."""
    runner = FakeRunner(TAGGED_LENGTHS, poison=[5])
    async with padded(runner) as layer:
        ends = await outcomes([call(layer, tag, length=tag) for tag in range(1, 9)])
    assert ends == [ModelFailed if tag == 5 else [tag] for tag in range(1, 9)]
    assert [run.inputs["x"].shape[1] for run in runner.requests[:3]] == [8, 4, 8]


@virtual
async def test_those_whose_lengths_are_far_apart_run_apart():
    """By what lengths cost: the long ones do not hold the short ones up, and nobody is left behind."""
    runner = FakeRunner(TAGGED_LENGTHS, cost=FakeCosts(run_s=0.5, position_s=0.1))
    async with padded(runner) as layer:
        ends = await outcomes([call(layer, tag, length=length) for tag, length in enumerate([3, 100, 2, 98, 4])])
    assert (ends, runner.runs) == ([[tag] for tag in range(5)], [[0, 2, 4], [1, 3]])


@virtual
async def test_slots_that_are_free_share_what_waits():
    """Two runs side by side, each of its own lengths."""
    runner = FakeRunner(TAGGED_LENGTHS, cost=FakeCosts(run_s=0.5, position_s=0.1))
    async with padded(runner, slots=2) as layer:
        await outcomes([call(layer, tag, length=length) for tag, length in enumerate([3, 100, 2, 98])])
    assert (runner.runs, runner.most_at_once) == ([[0, 2], [1, 3]], 2)


@virtual
async def test_a_quick_run_takes_who_is_no_longer():
    """Its length was what made it quick; looking for better company would take longer than the run."""
    runner = FakeRunner(TAGGED_LENGTHS, quick_rows=9)
    async with padded(runner) as layer:
        await outcomes([call(layer, tag, length=length) for tag, length in enumerate([4, 9, 4, 2])])
    assert runner.runs == [[0, 2, 3], [1]]


@virtual
async def test_the_predicted_finish_knows_lengths():
    """Of those who wait, and of the call itself."""
    runner = FakeRunner(TAGGED_LENGTHS, cost=FakeCosts(run_s=1.0, position_s=0.5, best=2))
    async with padded(runner) as layer:
        calls = [call(layer, 1, length=4)]
        await settle()
        assert layer.predicted_finish_s(request(2, length=2)) == (1.0 + 4 * 0.5) + (1.0 + 2 * 0.5)
        calls += [call(layer, tag, length=10) for tag in (3, 4)]
        await settle()
        # Two rows of length 10 fill a run of 11 s.
        assert layer.predicted_finish_s(request(2, length=2)) == 3.0 + 11.0 + 2.0
        await asyncio.gather(*calls)


@virtual
async def test_a_run_that_has_the_machine_to_itself_may_be_wide():
    """Not one beside which another runs, or waits."""
    runner = FakeRunner()
    slots = RunSlots(2)
    async with batcher(runner, slots=slots) as layer, batcher(FakeRunner(), slots=slots) as other:
        await call(layer, 1)
        beside = call(other, 9)
        await settle()
        await call(layer, 2)
        await beside
        await asyncio.gather(call(layer, 3), call(layer, 4))
    assert (runner.runs, runner.wide) == ([[1], [2], [3], [4]], [[1]])


rows_of_lengths = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=1, max_size=20)


@settings(max_examples=100, deadline=None)
@given(rows_of_lengths, st.sampled_from([1, 3, 100]), st.sampled_from([0.0, 0.01, 1.0]), st.sampled_from([0.0, 0.1]))
def test_each_call_gets_its_own_rows_of_its_own_length(
    calls: list[tuple[int, int]], max_rows: int, run_s: float, position_s: float
):
    """Whatever shares its run; calls of more rows than a run has, and of none, included."""

    async def scenario() -> None:
        runner = FakeRunner(
            TWO_INPUTS,
            cost=FakeCosts(run_s=run_s, position_s=position_s),
            model=lambda inputs: {"y": inputs["x"] * inputs["mask"]},
        )
        async with padded(runner, padding=TWO_PADDED, policy=BatchPolicy(max_rows=max_rows)) as layer:
            wishes = []
            for tag, (rows, length) in enumerate(calls, start=1):
                x = np.arange(rows * length).reshape(rows, length) + 1000 * tag
                inputs = {"x": x, "mask": np.ones_like(x), "other": np.zeros((rows, 2))}
                wishes.append(Request(inputs, FAR, rows=rows))
            responses = await asyncio.gather(*[layer.predict(wish) for wish in wishes])
        for wish, response in zip(wishes, responses, strict=True):
            assert response.outputs["y"].tolist() == wish.inputs["x"].tolist()
        assert all(len(tags_of(run.inputs, "other")) <= max_rows for run in runner.requests)

    run_virtual(scenario())


@pytest.mark.parametrize("length", [1, 5])
@virtual
async def test_a_call_that_runs_alone_is_not_touched(length: int):
    """Neither copied nor cut."""
    runner = FakeRunner(TAGGED_LENGTHS)
    wish = request(1, length=length)
    async with padded(runner) as layer:
        await layer.predict(wish)
    assert runner.requests[0] is wish
