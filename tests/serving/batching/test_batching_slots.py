"""The batcher: slots that several models share, and the limit of instances."""

import asyncio

import pytest

from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.slots import RunSlots
from tests.serving.batching.batchers import batcher, call, now
from tests.support.fakes import FakeCosts, FakeRunner, outcomes, request, settle
from tests.support.virtual_loop import virtual

ONE_BY_ONE = BatchPolicy(max_rows=1)


@virtual
async def test_two_models_take_turns():
    """With one slot between them neither starves, however much the other has waiting."""
    slots = RunSlots(1)
    order: list[str] = []

    class Noted(FakeRunner):
        def __init__(self, name: str) -> None:
            super().__init__()
            self._name = name

        def _start(self, request) -> None:
            order.append(self._name)
            super()._start(request)

    async with (
        batcher(Noted("a"), policy=ONE_BY_ONE, slots=slots) as a,
        batcher(Noted("b"), policy=ONE_BY_ONE, slots=slots) as b,
    ):
        calls = [call(a, tag) for tag in range(6)]
        await asyncio.sleep(1.5)
        calls += [call(b, tag) for tag in range(3)]
        await asyncio.gather(*calls)
    assert order == ["a", "a", "b", "a", "b", "a", "b", "a", "a"]


@virtual
async def test_a_busy_model_does_not_starve_a_slow_one():
    """A model that always has work waiting, and short runs, leaves the other its turn."""
    slots = RunSlots(2)
    short, long = FakeRunner(cost=FakeCosts(run_s=0.1)), FakeRunner(cost=FakeCosts(run_s=3.0))
    async with (
        batcher(short, policy=ONE_BY_ONE, slots=slots) as busy,
        batcher(long, policy=ONE_BY_ONE, slots=slots) as slow,
    ):
        calls = [call(busy, tag) for tag in range(200)]
        await settle()
        few = [call(slow, tag) for tag in range(2)]
        await asyncio.gather(*few)
        assert now() == pytest.approx(3.1)
        await asyncio.gather(*calls)


@pytest.mark.parametrize(("instances", "at_once", "end"), [(1, 1, 4.0), (2, 2, 2.0), (3, 3, 2.0), (8, 3, 2.0)])
@virtual
async def test_runs_at_once_are_bounded_by_instances_and_slots(instances: int, at_once: int, end: float):
    """A model never has more runs than either allows."""
    runner = FakeRunner()
    async with batcher(runner, policy=ONE_BY_ONE, slots=RunSlots(3), instances=instances) as layer:
        await outcomes([call(layer, tag) for tag in range(4)])
    assert (runner.most_at_once, now()) == (at_once, end)


@virtual
async def test_a_bounded_model_leaves_slots_to_others():
    """What one model may not use, another does at once."""
    slots = RunSlots(2)
    async with (
        batcher(FakeRunner(), policy=ONE_BY_ONE, slots=slots, instances=1) as bounded,
        batcher(FakeRunner(), policy=ONE_BY_ONE, slots=slots) as other,
    ):
        await asyncio.gather(*[call(bounded, tag) for tag in range(2)], *[call(other, tag) for tag in range(2)])
    assert now() == 2.0


@virtual
async def test_who_lost_interest_hands_the_slot_on():
    """A model whose only waiting call went away does not keep a slot from the next in line."""
    slots = RunSlots(1)
    async with (
        batcher(FakeRunner(), slots=slots) as a,
        batcher(FakeRunner(), slots=slots) as b,
        batcher(FakeRunner(), slots=slots) as c,
    ):
        first = call(a, 1)
        await settle()
        gone = call(b, 2)
        await settle()
        last = call(c, 3)
        await settle()
        gone.cancel()
        assert await outcomes([first, gone, last]) == [[1], asyncio.CancelledError, [3]]
    assert (now(), repr(slots)) == (2.0, "<RunSlots 1/1 free, 0 waiting>")


@virtual
async def test_who_was_left_is_not_called_back():
    """A model that is unloaded while it waits for a slot is forgotten."""
    slots = RunSlots(1)
    async with batcher(FakeRunner(), slots=slots) as a:
        first = call(a, 1)
        await settle()
        async with batcher(FakeRunner(), slots=slots) as b:
            waiting = call(b, 2)
            await settle()
            assert repr(slots) == "<RunSlots 0/1 free, 1 waiting>"
        assert repr(slots) == "<RunSlots 0/1 free, 0 waiting>"
        await asyncio.wait([first, waiting])


@virtual
async def test_the_run_that_ends_is_the_one_that_is_forgotten():
    """A short run that ends beside a long one does not pass for the long one in predictions."""
    runner = FakeRunner(cost=FakeCosts(run_s=0.0, row_s=1.0))
    async with batcher(runner, slots=RunSlots(2), policy=BatchPolicy(max_rows=10)) as layer:
        long = call(layer, *range(10))
        await settle()
        short = call(layer, 1, 2)
        await asyncio.sleep(1)
        assert layer.predicted_finish_s(request(1)) == 1.0 + 1.0
        await short
        again = call(layer, 1, 2, 3, 4)
        await settle()
        assert layer.predicted_finish_s(request(1)) == 4.0 + 1.0
        await asyncio.gather(long, again)
