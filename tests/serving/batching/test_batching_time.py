"""The batcher: deadlines, queue time-outs, cancelled calls, and when a call would be answered."""

import asyncio

import pytest

from serinus.core.errors import DeadlinePassed, Draining, Overloaded
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.slots import RunSlots
from tests.serving.batching.batchers import batcher, call, now, ticks_until
from tests.support.fakes import FAR, TAGGED_LENGTHS, FakeBatchMetrics, FakeCosts, FakeRunner, outcomes, request, settle
from tests.support.virtual_loop import virtual


@virtual
async def test_a_deadline_is_kept_while_a_long_run_is_under_way():
    """The call that waits ends when its time is over, not when the run is, and never runs."""
    runner = FakeRunner(cost=FakeCosts(run_s=100.0))
    async with batcher(runner) as layer:
        long = call(layer, 1)
        await settle()
        with pytest.raises(DeadlinePassed, match=r"no answer within 2\.500 s"):
            await layer.predict(request(2, deadline=2.5))
        assert (now(), repr(layer)) == (2.5, "<Batcher 0 calls (0 rows) queued, 1 runs>")
        await long
    assert runner.runs == [[1]]


@virtual
async def test_who_cannot_wait_for_the_end_of_a_run_is_not_in_it():
    """Its rows would keep others' from running; it is told at once, and the rest runs."""
    runner = FakeRunner(cost=FakeCosts(run_s=1.0, row_s=1.0))
    async with batcher(runner) as layer:
        hasty, patient = call(layer, 1, deadline=2.5), call(layer, 2, deadline=3.0)
        with pytest.raises(Overloaded, match=r"its run was predicted to end 0\.500 s after its deadline") as refused:
            await hasty
        assert (now(), refused.value.reason, refused.value.retry_after_s) == (0.0, "TOO_LATE", 0.5)
        assert await outcomes([patient]) == [[2]]
    assert runner.runs == [[2]]


@virtual
async def test_the_places_of_those_who_could_not_wait_are_taken():
    """A run is no smaller because of them."""
    runner = FakeRunner(cost=FakeCosts(run_s=4.0, best=2))
    async with batcher(runner) as layer:
        first = call(layer, 0)
        await settle()
        calls = [call(layer, 1, deadline=6.0), *(call(layer, tag) for tag in (2, 3))]
        assert await outcomes([first, *calls]) == [[0], Overloaded, [2], [3]]
    assert runner.runs == [[0], [2, 3]]


@virtual
async def test_the_slot_is_given_back_later_than_predicted_by_the_pace():
    """What threads and the event loop add to a run is in the predictions after some runs."""
    runner = FakeRunner(cost=FakeCosts(run_s=1.0, best=1), seconds=lambda: 2.0)
    async with batcher(runner) as layer:
        for _ in range(50):
            await call(layer, 1)
        running = call(layer, 1)
        await settle()
        assert layer.predicted_finish_s(request(1)) == pytest.approx(2 * 2.0, rel=0.01)
        await running


@virtual
async def test_a_lone_call_runs_however_late_it_is_predicted():
    """One slow run must not teach the server to refuse for ever."""
    runner = FakeRunner(cost=FakeCosts(run_s=1000.0), seconds=lambda: 1.0)
    async with batcher(runner) as layer:
        assert await outcomes([call(layer, 1, deadline=2.0)]) == [[1]]


@virtual
async def test_a_lone_call_is_refused_when_even_the_quickest_run_lately_would_be_too_late():
    """It would run for nobody; once nothing has run for a second, the next one may show that runs are quicker now."""
    runner = FakeRunner(cost=FakeCosts(run_s=1.0))
    async with batcher(runner) as layer:
        await call(layer, 1)
        with pytest.raises(Overloaded, match=r"its run was predicted to end 0\.500 s after its deadline") as refused:
            await layer.predict(request(2, deadline=now() + 0.5))
        assert (now(), refused.value.reason, refused.value.retry_after_s) == (1.0, "TOO_LATE", 0.5)
        await asyncio.sleep(1.5)
        assert await outcomes([call(layer, 3, deadline=now() + 0.5)]) == [DeadlinePassed]
    assert runner.runs == [[1], [3]]


@virtual
async def test_a_lone_call_runs_as_long_as_one_run_lately_was_quick_enough():
    """What runs really took speaks against a prediction that is far off."""
    runner = FakeRunner(cost=FakeCosts(run_s=1000.0), seconds=lambda: 1.0)
    async with batcher(runner) as layer:
        await call(layer, 1)
        assert await outcomes([call(layer, 2, deadline=now() + 2.0)]) == [[2]]


@virtual
async def test_a_lone_call_is_not_refused_for_a_prediction_that_has_jumped():
    """One run that was held up moves what runs are predicted to take, not what they took lately."""
    costs = FakeCosts(run_s=0.01)
    async with batcher(FakeRunner(cost=costs, seconds=lambda: 0.01)) as layer:
        await call(layer, 1)
        costs.run_s = 1.0
        assert await outcomes([call(layer, 2, deadline=now() + 0.5)]) == [[2]]


@virtual
async def test_a_deadline_is_kept_by_a_call_that_runs():
    """Its caller is told on time; its neighbours in the run get their answers."""
    runner = FakeRunner(cost=FakeCosts(run_s=2.0), seconds=lambda: 10.0)
    async with batcher(runner) as layer:
        hasty, patient = call(layer, 1, deadline=3.0), call(layer, 2)
        assert await outcomes([hasty]) == [DeadlinePassed]
        assert now() == 3.0
        assert await outcomes([patient]) == [[2]]
    assert runner.runs == [[1, 2]]


@virtual
async def test_deadlines_are_kept_while_the_batcher_is_left():
    """Leaving waits for a run; a call in it still ends at its deadline."""
    runner = FakeRunner(cost=FakeCosts(run_s=10.0))
    ended_at: list[float] = []
    async with batcher(runner) as layer:
        hasty = call(layer, 1, deadline=3.0)
        hasty.add_done_callback(lambda _: ended_at.append(now()))
        await settle()
    assert (await outcomes([hasty]), ended_at, now()) == ([DeadlinePassed], [3.0], 10.0)


@virtual
async def test_what_expired_is_dropped_before_rows_are_joined():
    """A deadline that passes in the very tick in which the run would start keeps the rows out of it."""
    runner = FakeRunner()
    async with batcher(runner) as layer:
        first = call(layer, 1)
        await settle()
        assert await outcomes([first, call(layer, 2, deadline=1.0), call(layer, 3)]) == [[1], DeadlinePassed, [3]]
    assert runner.runs == [[1], [3]]


@virtual
async def test_what_was_cancelled_in_this_very_tick_does_not_run_on_the_loop():
    """A quick batch is looked through once more as well."""
    runner = FakeRunner(quick_rows=8)
    async with batcher(runner) as layer:
        calls = [call(layer, 1), call(layer, 2)]
        await asyncio.sleep(0)
        calls[0].cancel()
        assert await outcomes(calls) == [asyncio.CancelledError, [2]]
    assert runner.runs == [[2]]


@virtual
async def test_a_past_deadline_never_runs():
    """Not even on an idle server."""
    runner = FakeRunner()
    async with batcher(runner) as layer:
        assert await outcomes([call(layer, 1, deadline=-1.0), call(layer, 2, deadline=0.0)]) == [DeadlinePassed] * 2
    assert runner.runs == []


@virtual
async def test_a_deadline_a_century_away_is_a_deadline():
    """Large and infinite times are only numbers."""
    async with batcher(FakeRunner()) as layer:
        calls = [call(layer, 1, deadline=3.2e9), call(layer, 2, deadline=float("inf"))]
        assert await outcomes(calls) == [[1], [2]]


@virtual
async def test_a_queue_timeout_is_kept_while_a_long_run_is_under_way():
    """Waiting is bounded apart from the deadline; running is not waiting."""
    runner = FakeRunner(cost=FakeCosts(run_s=100.0))
    async with batcher(runner, queue_timeout_s=2.0) as layer:
        long = call(layer, 1)
        await asyncio.sleep(1)
        with pytest.raises(Overloaded) as refused:
            await layer.predict(request(2))
        assert (refused.value.message, refused.value.reason, refused.value.retry_after_s, now()) == (
            "waited 2.000 s for a run, the limit is 2.0 s",
            "QUEUE_TIMEOUT",
            2.0,
            3.0,
        )
        assert await outcomes([long]) == [[1]]
    assert runner.runs == [[1]]


@virtual
async def test_a_cancelled_call_frees_its_place_within_a_tick():
    """The rows leave the queue at once and never run."""
    runner = FakeRunner()
    async with batcher(runner) as layer:
        first = call(layer, 1)
        await settle()
        waiting, neighbour = call(layer, 2, 3), call(layer, 4)
        await settle()
        assert (layer.queued_calls, layer.queued_rows) == (2, 3)
        waiting.cancel()
        await asyncio.sleep(0)
        assert (layer.queued_calls, layer.queued_rows) == (1, 1)
        assert await outcomes([first, waiting, neighbour]) == [[1], asyncio.CancelledError, [4]]
    assert runner.runs == [[1], [4]]


@virtual
async def test_cancelled_between_dispatch_and_run_does_not_run():
    """A batch is looked through once more when its run really starts."""
    runner = FakeRunner()
    slots = RunSlots(1)
    async with batcher(runner, slots=slots) as layer:
        calls = [call(layer, tag) for tag in (1, 2)]
        await ticks_until(lambda: not slots.free)
        calls[0].cancel()
        assert await outcomes(calls) == [asyncio.CancelledError, [2]]
    assert runner.runs == [[2]]


@virtual
async def test_cancelled_in_a_run_leaves_the_neighbours_alone():
    """The run goes on, its answer for the one who left is dropped."""
    runner, metrics = FakeRunner(), FakeBatchMetrics()
    async with batcher(runner, metrics=metrics) as layer:
        calls = [call(layer, tag) for tag in (1, 2, 3)]
        await asyncio.sleep(0.5)
        calls[1].cancel()
        assert await outcomes(calls) == [[1], asyncio.CancelledError, [3]]
    assert (runner.runs, [rows for rows, _ in metrics.runs]) == ([[1, 2, 3]], [3])


@virtual
async def test_all_of_a_batch_cancelled_gives_the_slot_on():
    """Nothing runs for nobody."""
    runner = FakeRunner()
    slots = RunSlots(1)
    async with batcher(runner, slots=slots) as layer:
        calls = [call(layer, tag) for tag in (1, 2)]
        await ticks_until(lambda: not slots.free)
        for task in calls:
            task.cancel()
        assert await outcomes([*calls, call(layer, 3)]) == [asyncio.CancelledError, asyncio.CancelledError, [3]]
    assert (runner.runs, slots.free) == ([[3]], 1)


@virtual
async def test_a_call_to_a_batcher_that_was_left_is_draining():
    """Nobody would answer it."""
    async with batcher(FakeRunner()) as layer:
        pass
    with pytest.raises(Draining):
        await layer.predict(request(1))


@virtual
async def test_leaving_ends_what_waits_and_waits_for_what_runs():
    """Calls that no run has taken end as draining, at once; the others are answered."""
    runner = FakeRunner()
    slots = RunSlots(1)
    async with batcher(runner, policy=BatchPolicy(max_rows=2), slots=slots) as layer:
        calls = [call(layer, tag) for tag in range(3)]
        large = call(layer, 4, 5, 6)
        await asyncio.sleep(0.5)
    assert (await outcomes([*calls, large]), now()) == ([[0], [1], Draining, Draining], 1.0)
    assert (runner.runs, slots.free, repr(layer)) == ([[0, 1]], 1, "<Batcher 0 calls (0 rows) queued, 0 runs>")


@virtual
async def test_leaving_ends_a_linger():
    """Who waited for company is told so and not answered late."""
    async with batcher(FakeRunner(), policy=BatchPolicy(linger_s=60.0)) as layer:
        lonely = call(layer, 1)
        await settle()
    assert (await outcomes([lonely]), now()) == ([Draining], 0.0)


@virtual
async def test_an_error_in_the_block_neither_breaks_runs_off_nor_is_wrapped():
    """The block's own error comes out as it is, after the runs."""
    runner = FakeRunner()
    calls: list[asyncio.Task] = []

    async def own() -> None:
        async with batcher(runner) as layer:
            calls.append(call(layer, 1))
            await settle()
            raise LookupError

    with pytest.raises(LookupError):
        await own()
    assert (await outcomes(calls), now()) == ([[1]], 1.0)


@pytest.mark.parametrize("ticks", range(6))
@virtual
async def test_being_cancelled_breaks_off_what_runs(ticks: int):
    """A cancelled owner waits for nothing; every call ends, the slot comes back, whatever moment it was."""
    runner = FakeRunner(gate=asyncio.Event())
    slots = RunSlots(1)
    calls: list[asyncio.Task] = []

    async def own() -> None:
        async with batcher(runner, policy=BatchPolicy(max_rows=2), slots=slots) as layer:
            calls.extend(call(layer, tag) for tag in range(3))
            await asyncio.get_running_loop().create_future()

    owner = asyncio.create_task(own())
    await asyncio.sleep(0)
    for _ in range(ticks):
        await asyncio.sleep(0)
    owner.cancel()
    assert await outcomes([owner, *calls]) == [asyncio.CancelledError, Draining, Draining, Draining]
    assert slots.free == 1


@virtual
async def test_being_cancelled_while_leaving_breaks_off_what_runs():
    """The second request to stop does not wait for a model that hangs."""
    runner = FakeRunner(gate=asyncio.Event())
    calls: list[asyncio.Task] = []

    async def own() -> None:
        async with batcher(runner) as layer:
            calls.append(call(layer, 1))
            await settle()

    owner = asyncio.create_task(own())
    await asyncio.sleep(5)
    owner.cancel()
    assert await outcomes([owner, *calls]) == [asyncio.CancelledError, Draining]


@virtual
async def test_the_predicted_finish():
    """0 if nothing is in the way, else the wait for a slot, the full runs ahead, and the run that it would share."""
    runner = FakeRunner(cost=FakeCosts(run_s=1.0, row_s=0.5, best=4))
    async with batcher(runner) as layer:
        assert layer.predicted_finish_s(request(*range(1000))) == 0.0
        calls = [call(layer, 1, 2)]
        await asyncio.sleep(0.5)
        # The run of two rows takes 2 s, 1.5 of which are left; then one run of one row.
        assert layer.predicted_finish_s(request(1)) == 1.5 + 1.5
        calls += [call(layer, tag) for tag in range(6)]
        await settle()
        # Of the six that wait four fill a run of 3 s; the other two share the run of this call.
        assert layer.predicted_finish_s(request(1)) == 1.5 + 3.0 + 2.5
        await asyncio.gather(*calls)
        assert layer.predicted_finish_s(request(1)) == 0.0


@virtual
async def test_the_predicted_finish_of_an_oversized_call():
    """Its parts run one after another, or side by side where there are slots."""
    policy = BatchPolicy(max_rows=4)
    for slots, finish_s in ((1, 10.0 + 3.0), (2, 10.0 + 2.0)):
        runner = FakeRunner(TAGGED_LENGTHS, cost=FakeCosts(run_s=1.0), gate=asyncio.Event())
        async with batcher(runner, policy=policy, slots=RunSlots(slots)) as layer:
            runner.cost.run_s = 10.0
            calls = [call(layer, tag, length=tag) for tag in range(1, slots + 1)]
            await settle()
            runner.cost.run_s = 1.0
            assert layer.predicted_finish_s(request(*range(12), length=1)) == finish_s
            runner.gate.set()
            await asyncio.gather(*calls)


@virtual
async def test_an_overdue_run_is_expected_any_moment():
    """A prediction is never negative."""
    runner = FakeRunner(gate=asyncio.Event())
    async with batcher(runner) as layer:
        hung = call(layer, 1, deadline=FAR)
        await asyncio.sleep(50)
        assert layer.predicted_finish_s(request(1)) == 1.0
        runner.gate.set()
        await hung
