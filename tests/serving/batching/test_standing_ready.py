"""The batcher: runs that are handed over before a slot is free, so that no thread idles between short ones."""

import asyncio

import pytest

from serinus.core.predictor import Request, Response
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.slots import RunSlots
from tests.serving.batching.batchers import batcher, call, now
from tests.support.fakes import FakeCosts, FakeRunner, request, settle
from tests.support.virtual_loop import virtual

PAIRS = BatchPolicy(max_rows=2)
SHORT, LONG = FakeCosts(run_s=0.01), FakeCosts(run_s=0.03)


class Pooled(FakeRunner):
    """Its runs queue for a thread, as in the compute pool.

    Attributes:
        thread: The one that they queue for.
        handed: The tags of each run in the order in which they were handed over.
    """

    def __init__(self, cost: FakeCosts, thread: asyncio.Lock | None = None) -> None:
        super().__init__(cost=cost)
        self.handed: list[list[int]] = []
        self._thread = thread or asyncio.Lock()

    async def predict(self, request: Request, /) -> Response:
        self.handed.append(request.inputs["x"].ravel().tolist())
        async with self._thread:
            return await super().predict(request)

    predict_wide = predict


@virtual
async def test_a_full_run_stands_ready_behind_the_one_under_way():
    """One, not all of them; when the first is over the next one moves up."""
    runner = Pooled(SHORT)
    async with batcher(runner, policy=PAIRS, slots=RunSlots(1, ahead=1)) as layer:
        calls = [call(layer, tag) for tag in range(8)]
        await settle()
        assert runner.handed == [[0, 1], [2, 3]]
        await asyncio.wait(calls[:2])
        await settle()
        assert runner.handed == [[0, 1], [2, 3], [4, 5]]
        await asyncio.gather(*calls)
    assert (runner.most_at_once, now()) == (1, pytest.approx(0.04))


@virtual
async def test_a_run_that_others_may_join_waits_for_its_slot():
    """Handed over early it would have been smaller."""
    runner = Pooled(SHORT)
    async with batcher(runner, policy=PAIRS, slots=RunSlots(1, ahead=1)) as layer:
        calls = [call(layer, tag) for tag in range(3)]
        await settle()
        assert runner.handed == [[0, 1]]
        calls.append(call(layer, 3))
        await settle()
        assert runner.handed == [[0, 1], [2, 3]]
        await asyncio.gather(*calls)


@pytest.mark.parametrize("cost", [LONG, FakeCosts(run_s=0.0)], ids=["long", "unknown"])
@virtual
async def test_a_run_that_is_not_known_to_be_short_waits_for_its_slot(cost: FakeCosts):
    """Nothing is won, and a more urgent call would have to wait for it."""
    runner = Pooled(cost)
    runner.gate = asyncio.Event()
    async with batcher(runner, policy=PAIRS, slots=RunSlots(1, ahead=1)) as layer:
        calls = [call(layer, tag) for tag in range(4)]
        await settle()
        assert runner.handed == [[0, 1]]
        runner.gate.set()
        await asyncio.gather(*calls)


@virtual
async def test_a_model_that_may_run_once_at_a_time_hands_nothing_over_early():
    """Another thread might be free, and take it."""
    runner = Pooled(SHORT)
    async with batcher(runner, policy=PAIRS, slots=RunSlots(1, ahead=1), instances=1) as layer:
        calls = [call(layer, tag) for tag in range(4)]
        await settle()
        assert runner.handed == [[0, 1]]
        await asyncio.gather(*calls)


@virtual
async def test_nothing_stands_ready_behind_the_runs_of_another_model():
    """How long those take is the other's to know; a run that was handed over could not be taken back."""
    slots, gate = RunSlots(1, ahead=1), asyncio.Event()
    other, short = Pooled(LONG), Pooled(SHORT)
    other.gate = gate
    async with batcher(other, slots=slots) as busy, batcher(short, policy=PAIRS, slots=slots) as layer:
        calls = [call(busy, 0)]
        await settle()
        calls += [call(layer, tag) for tag in range(4)]
        await settle()
        assert short.handed == []
        gate.set()
        await asyncio.gather(*calls)


@virtual
async def test_a_run_whose_calls_went_while_it_stood_ready_teaches_nothing():
    """It was over before it began."""
    runner = Pooled(SHORT)
    async with batcher(runner, policy=PAIRS, slots=RunSlots(1, ahead=1)) as layer:
        calls = [call(layer, tag) for tag in range(2)]
        await settle()
        gone = [call(layer, tag) for tag in range(2, 4)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for each in gone:
            each.cancel()
        await asyncio.wait([*calls, *gone])
        assert layer._running.pace == pytest.approx(1.0)
        assert layer._running.least_s(0.01) == pytest.approx(0.01)


@virtual
async def test_another_model_that_waits_for_a_slot_gets_it():
    """Whoever always has a full run to hand over does not keep the slots for itself."""
    slots, thread, order = RunSlots(1, ahead=1), asyncio.Lock(), list[str]()
    async with (
        batcher(Pooled(SHORT, thread), policy=PAIRS, slots=slots) as busy,
        batcher(Pooled(SHORT, thread), policy=PAIRS, slots=slots) as other,
    ):
        calls = [call(busy, tag) for tag in range(20)]
        await settle()
        late = call(other, 1)
        for each, name in ((late, "other"), *((one, "busy") for one in calls)):
            each.add_done_callback(lambda _, name=name: order.append(name))
        await asyncio.gather(late, *calls)
    assert order.index("other") == 6, "after the run under way, the one that stood ready, and one that asked before"


@virtual
async def test_the_run_that_stands_ready_is_in_the_way_of_later_calls():
    """Predictions count it, and how long it takes is measured from when it has its slot."""
    async with batcher(Pooled(SHORT), policy=PAIRS, slots=RunSlots(1, ahead=1)) as layer:
        calls = [call(layer, tag) for tag in range(4)]
        await settle()
        assert layer.predicted_finish_s(request(1)) == pytest.approx(0.03)
        await asyncio.gather(*calls)
        await settle()
        calls = [call(layer, tag) for tag in range(2)]
        await settle()
        assert layer.predicted_finish_s(request(1)) == pytest.approx(0.02)
        await asyncio.gather(*calls)


@virtual
async def test_a_run_of_which_some_would_be_late_is_handed_over_without_them():
    """It begins when the one under way ends, not now."""
    runner = Pooled(SHORT)
    async with batcher(runner, policy=PAIRS, slots=RunSlots(1, ahead=1)) as layer:
        calls = [call(layer, tag) for tag in range(2)]
        await settle()
        calls += [call(layer, 2, deadline=0.015), call(layer, 3, deadline=1.0)]
        await settle()
        await asyncio.wait(calls)
    assert runner.handed == [[0, 1], [3]]
