"""The batcher: what runs together, when, and in which order."""

import asyncio

import numpy as np
import pytest

from serinus.core.errors import ModelFailed
from serinus.core.predictor import Request, Response
from serinus.core.signature import Signature
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.slots import RunSlots
from serinus.telemetry.outcome import DispatchReason
from tests.serving.batching.batchers import batcher, call, now
from tests.support.fakes import (
    FAR,
    TAGGED_ALONE,
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
from tests.support.virtual_loop import virtual


@virtual
async def test_a_lone_call_runs_at_once():
    """Nobody waits for company while a slot is free."""
    runner = FakeRunner()
    async with batcher(runner) as layer:
        response = await layer.predict(request(7))
    assert (tags_of(response.outputs), response.queue_s, response.compute_s, response.batch_rows) == ([7], 0.0, 1.0, 1)
    assert now() == 1.0


@virtual
async def test_calls_of_one_tick_share_a_run():
    """Calls that arrive together are joined, and each gets its own rows back."""
    runner, metrics = FakeRunner(), FakeBatchMetrics()
    async with batcher(runner, metrics=metrics) as layer:
        assert await outcomes([call(layer, 1), call(layer, 2, 3), call(layer, 4)]) == [[1], [2, 3], [4]]
    assert runner.runs == [[1, 2, 3, 4]]
    assert metrics.runs == [(4, DispatchReason.IDLE)]


@virtual
async def test_what_came_during_a_run_is_the_next_run():
    """All that waits when the slot comes free runs together."""
    runner = FakeRunner()
    async with batcher(runner) as layer:
        first = call(layer, 1)
        await asyncio.sleep(0.5)
        rest = [call(layer, 2), call(layer, 3)]
        assert await outcomes([first, *rest]) == [[1], [2], [3]]
        assert rest[0].result().queue_s == 0.5
    assert (runner.runs, now()) == ([[1], [2, 3]], 2.0)


@virtual
async def test_two_slots_share_what_waits():
    """Two halves side by side end before one whole."""
    runner = FakeRunner()
    async with batcher(runner, slots=RunSlots(2)) as layer:
        await outcomes([call(layer, tag) for tag in range(5)])
    assert (runner.runs, runner.most_at_once, now()) == ([[0, 1, 2], [3, 4]], 2, 1.0)


@virtual
async def test_a_quick_batch_runs_while_every_slot_is_taken():
    """A run that is shorter than a hand-over runs on the event loop and needs no slot."""
    slots = RunSlots(1)
    slots.take()
    runner, metrics = FakeRunner(quick_rows=8), FakeBatchMetrics()
    async with batcher(runner, slots=slots, metrics=metrics) as layer:
        assert await outcomes([call(layer, 1), call(layer, 2)]) == [[1], [2]]
    assert (runner.runs, metrics.runs, now()) == ([[1, 2]], [(2, DispatchReason.IDLE)], 0.0)


@virtual
async def test_quick_batches_give_way_to_the_loop_between_them():
    """A crowd of quick calls runs batch by batch, not in one go."""
    runner = FakeRunner(quick_rows=8)
    seen: list[int] = []
    async with batcher(runner, policy=BatchPolicy(max_rows=2)) as layer:
        calls = [call(layer, tag) for tag in range(6)]
        while not all(task.done() for task in calls):
            seen.append(len(runner.runs))
            await asyncio.sleep(0)
    assert runner.runs == [[0, 1], [2, 3], [4, 5]]
    assert seen == [0, 0, 1, 2, 3][: len(seen)]


@virtual
async def test_rows_count_and_not_calls():
    """A run holds at most `max_rows` rows, however few calls they are."""
    runner, metrics = FakeRunner(), FakeBatchMetrics()
    async with batcher(runner, policy=BatchPolicy(max_rows=4), metrics=metrics) as layer:
        await outcomes([call(layer, 1, 2, 3), call(layer, 4), call(layer, 5, 6), call(layer, 7, 8, 9)])
    assert runner.runs == [[1, 2, 3, 4], [5, 6], [7, 8, 9]]
    assert metrics.runs == [(4, DispatchReason.FULL), (2, DispatchReason.FULL), (3, DispatchReason.IDLE)]


@virtual
async def test_runs_stop_growing_where_rows_a_second_do():
    """The learned best size bounds a run below the operator's limit."""
    runner = FakeRunner(cost=FakeCosts(best=2))
    async with batcher(runner) as layer:
        await outcomes([call(layer, tag) for tag in range(5)])
    assert runner.runs == [[0, 1], [2, 3], [4]]


@virtual
async def test_a_call_that_does_not_fit_is_not_overtaken():
    """Order is kept within a kind: a large call ends the run that has no place for it."""
    runner = FakeRunner()
    async with batcher(runner, policy=BatchPolicy(max_rows=3)) as layer:
        await outcomes([call(layer, 1, 2), call(layer, 3, 4), call(layer, 5)])
    assert runner.runs == [[1, 2], [3, 4, 5]]


@virtual
async def test_an_oversized_call_is_split_and_joined():
    """More rows than a run may hold come back in one answer, in order."""
    runner = FakeRunner()
    async with batcher(runner, policy=BatchPolicy(max_rows=2)) as layer:
        response = await layer.predict(request(1, 2, 3, 4, 5))
    assert tags_of(response.outputs) == [1, 2, 3, 4, 5]
    assert (response.queue_s, response.compute_s, response.batch_rows) == (2.0, 3.0, 2)
    assert runner.runs == [[1, 2], [3, 4], [5]]


@virtual
async def test_the_last_part_of_an_oversized_call_takes_company():
    """Parts are entries like any other."""
    runner = FakeRunner()
    async with batcher(runner, policy=BatchPolicy(max_rows=2)) as layer:
        assert await outcomes([call(layer, 1, 2, 3), call(layer, 4)]) == [[1, 2, 3], [4]]
    assert runner.runs == [[1, 2], [3, 4]]


@virtual
async def test_parts_of_an_oversized_call_run_side_by_side():
    """Every slot works on the parts."""
    runner = FakeRunner()
    async with batcher(runner, policy=BatchPolicy(max_rows=2), slots=RunSlots(2)) as layer:
        await layer.predict(request(1, 2, 3, 4))
    assert (runner.runs, now()) == ([[1, 2], [3, 4]], 1.0)


@virtual
async def test_an_oversized_call_cancelled_half_way_runs_no_further():
    """The parts that wait leave; the run under way ends for nobody."""
    runner = FakeRunner()
    async with batcher(runner, policy=BatchPolicy(max_rows=2)) as layer:
        large = call(layer, 1, 2, 3, 4, 5, 6)
        await asyncio.sleep(1.5)
        large.cancel()
        small = call(layer, 7)
        assert await outcomes([large, small]) == [asyncio.CancelledError, [7]]
        assert repr(layer) == "<Batcher 0 calls (0 rows) queued, 0 runs>"
    assert runner.runs == [[1, 2], [3, 4], [7]]


@virtual
async def test_an_oversized_call_fails_with_its_first_part():
    """One failed part ends the call at once; the other parts do not run."""
    runner = FakeRunner(poison=[3])
    async with batcher(runner, policy=BatchPolicy(max_rows=2)) as layer:
        with pytest.raises(ModelFailed):
            await layer.predict(request(1, 2, 3, 4, 5, 6))
        assert now() == 2.0
        await settle()
        assert layer.queued_rows == 0
    assert runner.runs == [[1, 2], [3, 4], [5, 6]][: len(runner.runs)]


@virtual
async def test_a_late_failure_does_not_wait_for_earlier_parts():
    """With two slots the second part can fail first."""
    runner = FakeRunner(poison=[3], cost=FakeCosts(run_s=0.0, row_s=1.0))
    async with batcher(runner, policy=BatchPolicy(max_rows=2), slots=RunSlots(2)) as layer:
        with pytest.raises(ModelFailed):
            await layer.predict(request(1, 2, 3))
        assert now() == 1.0


@virtual
async def test_the_other_parts_of_a_failed_call_are_not_run_again():
    """Nobody waits for them: when their own run fails, only their neighbour is looked at."""
    seconds = iter([1.0, 2.0, 1.0])
    runner = FakeRunner(poison=[1, 4], seconds=lambda: next(seconds))
    async with batcher(runner, policy=BatchPolicy(max_rows=2), slots=RunSlots(2)) as layer:
        assert await outcomes([call(layer, 1, 2, 3), call(layer, 4)]) == [ModelFailed, ModelFailed]
    assert runner.runs == [[1, 2], [3, 4], [4]]


@virtual
async def test_a_linger_waits_for_company():
    """With a linger the run starts when it is over, with whoever came."""
    runner, metrics = FakeRunner(), FakeBatchMetrics()
    async with batcher(runner, policy=BatchPolicy(linger_s=0.3), metrics=metrics) as layer:
        first = call(layer, 1)
        await asyncio.sleep(0.1)
        second = call(layer, 2)
        assert await outcomes([first, second]) == [[1], [2]]
        assert (first.result().queue_s, second.result().queue_s) == (0.3, pytest.approx(0.2))
    assert (runner.runs, metrics.runs) == ([[1, 2]], [(2, DispatchReason.LINGER)])


@virtual
async def test_a_full_batch_does_not_linger():
    """There is nothing to wait for."""
    runner, metrics = FakeRunner(), FakeBatchMetrics()
    async with batcher(runner, policy=BatchPolicy(max_rows=2, linger_s=9.0), metrics=metrics) as layer:
        await outcomes([call(layer, 1), call(layer, 2)])
    assert (now(), metrics.runs) == (1.0, [(2, DispatchReason.FULL)])


@virtual
async def test_a_preferred_size_ends_the_linger():
    """The largest preferred size that is reached runs at once; the rest goes on lingering."""
    runner, metrics = FakeRunner(), FakeBatchMetrics()
    policy = BatchPolicy(max_rows=8, linger_s=5.0, preferred_rows=(2, 4))
    async with batcher(runner, policy=policy, metrics=metrics, slots=RunSlots(2)) as layer:
        await outcomes([call(layer, tag) for tag in range(5)])
    assert (runner.runs, now()) == ([[0, 1, 2, 3], [4]], 6.0)
    assert metrics.runs == [(4, DispatchReason.PREFERRED), (1, DispatchReason.LINGER)]


@virtual
async def test_one_that_lingers_does_not_hold_up_another_kind():
    """A full batch of another shape runs although the oldest call waits for company of its own."""
    runner = FakeRunner(TAGGED_LENGTHS)
    async with batcher(runner, policy=BatchPolicy(max_rows=2, linger_s=5.0)) as layer:
        lingering = call(layer, 1)
        await asyncio.sleep(1)
        assert await outcomes([call(layer, 2, length=3), call(layer, 3, length=3)]) == [[2], [3]]
        assert now() == 2.0
        await lingering
    assert (runner.runs, now()) == ([[2, 3], [1]], 6.0)


@virtual
async def test_the_most_urgent_go_first_and_the_others_in_order():
    """Priority 1 is first; 0 means the default, 5; within a level the oldest is first."""
    runner = FakeRunner()
    async with batcher(runner, policy=BatchPolicy(max_rows=1)) as layer:
        first = call(layer, 100)
        await asyncio.sleep(0.5)
        levels = [9, 5, 0, 1, 99, 2, 1]
        calls = [call(layer, tag, priority=level) for tag, level in enumerate(levels)]
        await outcomes([first, *calls])
    assert runner.runs == [[100], [3], [6], [5], [1], [2], [0], [4]]


@virtual
async def test_the_less_urgent_fill_up_a_run():
    """Rows of a lower level ride along where there is room."""
    runner = FakeRunner()
    async with batcher(runner, policy=BatchPolicy(max_rows=3)) as layer:
        calls = [call(layer, tag, priority=level) for tag, level in enumerate([8, 8, 1, 8])]
        await outcomes(calls)
    assert runner.runs == [[2, 0, 1], [3]]


@virtual
async def test_shapes_are_never_mixed():
    """Calls whose rows differ in length run apart, the oldest kind first."""
    runner = FakeRunner(TAGGED_LENGTHS)
    async with batcher(runner) as layer:
        lengths = [3, 4, 3, 4, 5]
        calls = [call(layer, tag, length=length) for tag, length in enumerate(lengths)]
        assert await outcomes(calls) == [[0], [1], [2], [3], [4]]
        assert [task.result().outputs["y"].shape for task in calls] == [(1, length) for length in lengths]
    assert runner.runs == [[0, 2], [1, 3], [4]]


@virtual
async def test_a_model_without_a_batch_axis_runs_call_by_call():
    """Nothing is joined, whatever waits; each call is handed on as it came."""
    runner = FakeRunner(TAGGED_ALONE)
    async with batcher(runner) as layer:
        requests = [Request({"x": np.array([[tag], [tag]])}, FAR) for tag in range(3)]
        tasks = [asyncio.get_running_loop().create_task(layer.predict(each)) for each in requests]
        assert await outcomes(tasks) == [[0, 0], [1, 1], [2, 2]]
    assert [ran is asked for ran, asked in zip(runner.requests, requests, strict=True)] == [True] * 3


@virtual
async def test_the_same_request_twice_is_two_calls():
    """A request object has no identity for the batcher of a model without a batch axis either."""
    runner = FakeRunner(TAGGED_ALONE)
    async with batcher(runner) as layer:
        same = Request({"x": np.array([[4]])}, FAR)
        tasks = [asyncio.get_running_loop().create_task(layer.predict(same)) for _ in range(2)]
        assert await outcomes(tasks) == [[4], [4]]
    assert runner.runs == [[4], [4]]


@virtual
async def test_calls_without_rows_are_answered():
    """Zero rows run alone, together, and beside others."""
    runner = FakeRunner()
    async with batcher(runner) as layer:
        assert await outcomes([call(layer)]) == [[]]
        assert await outcomes([call(layer), call(layer)]) == [[], []]
        assert await outcomes([call(layer), call(layer, 1), call(layer)]) == [[], [1], []]
    assert runner.runs == [[], [], [1]]


@virtual
async def test_one_batch_runs_the_outputs_that_anybody_wants():
    """Each call gets what it asked for, in its order, from a run of the union."""
    outputs = tuple(spec(name, "n", 1) for name in ("a", "b", "c", "d"))
    runner = FakeRunner(
        Signature((spec("x", "n", 1),), outputs),
        model=lambda inputs: {name: inputs["x"] * factor for factor, name in enumerate("abcd", 1)},
    )

    def wanting(tag: int, *names: str) -> asyncio.Task[Response]:
        wish = request(tag)
        wish.outputs = names
        return asyncio.get_running_loop().create_task(layer.predict(wish))

    async with batcher(runner) as layer:
        answers = await asyncio.gather(wanting(1, "c", "a"), wanting(2, "d"))
        everything = await asyncio.gather(wanting(1, "b"), wanting(2))
    assert [[(name, int(y[0, 0])) for name, y in answer.outputs.items()] for answer in answers + everything] == [
        [("c", 3), ("a", 1)],
        [("d", 8)],
        [("b", 2)],
        [("a", 2), ("b", 4), ("c", 6), ("d", 8)],
    ]
    assert [run.outputs for run in runner.requests] == [("a", "c", "d"), ()]
