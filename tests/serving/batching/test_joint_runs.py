"""Runs that fail: who is told, who is not, and what it costs."""

import asyncio
import itertools
import math

import numpy as np
import pytest

from serinus.core.dtypes import DType
from serinus.core.errors import BadModelOutput, DeadlinePassed, InvalidInput, ModelFailed
from serinus.core.predictor import Request, Tensors
from serinus.core.signature import Signature
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.batching.slots import RunSlots
from serinus.telemetry.outcome import DispatchReason
from tests.serving.batching.batchers import batcher, call, now, ticks_until
from tests.support.fakes import FAR, FakeBatchMetrics, FakeCosts, FakeRunner, outcomes, request, spec
from tests.support.virtual_loop import virtual

FLOATS = Signature((spec("x", "n", 3, dtype=DType.FP32),), (spec("y", "n", 3, dtype=DType.FP32),))


@pytest.mark.parametrize("quick_rows", [0, 1000])
@pytest.mark.parametrize("at", [0, 1, 13, 30, 31])
@virtual
async def test_one_poison_call_among_32_costs_ten_runs(at: int, quick_rows: int):
    """Halving finds it in 2·log2(32) further runs; the 31 others are answered."""
    runner, metrics = FakeRunner(poison=[at], quick_rows=quick_rows), FakeBatchMetrics()
    async with batcher(runner, metrics=metrics) as layer:
        ends = await outcomes([call(layer, tag) for tag in range(32)])
    assert ends == [ModelFailed if tag == at else [tag] for tag in range(32)]
    assert (len(runner.runs), runner.runs[0], metrics.poison) == (1 + 10, list(range(32)), 1)
    assert {reason for _, reason in metrics.runs} == {DispatchReason.RERUN}


@virtual
async def test_the_neighbours_of_poison_get_the_bits_that_they_get_alone():
    """Being run again does not show in the answer."""

    def model(inputs: Tensors):
        x = inputs["x"]
        if (np.abs(x) > 1e20).any():
            raise InvalidInput("too large")
        return {"y": np.tanh(x) * np.float32(1.1)}

    def floats(seed: int) -> Request:
        x = np.random.default_rng(seed).standard_normal((1, 3)).astype(np.float32)
        return Request({"x": x if seed != 17 else x * np.float32(1e30)}, FAR)

    async with batcher(FakeRunner(FLOATS, model=model)) as layer:
        alone = [(await layer.predict(floats(seed))).outputs["y"].tobytes() for seed in range(32) if seed != 17]
        tasks = [asyncio.create_task(layer.predict(floats(seed))) for seed in range(32)]
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(ends.pop(17), InvalidInput)
    assert [end.outputs["y"].tobytes() for end in ends] == alone


@pytest.mark.parametrize("calls", [1, 2, 3, 5, 32, 33])
@virtual
async def test_all_poison_is_bounded(calls: int):
    """A model that fails on everything costs 2·n - 2 further runs, and everybody is told."""
    runner, metrics = FakeRunner(poison=range(calls)), FakeBatchMetrics()
    async with batcher(runner, metrics=metrics) as layer:
        ends = await outcomes([call(layer, tag) for tag in range(calls)])
    assert (ends, len(runner.runs), metrics.runs) == ([ModelFailed] * calls, 1 + 2 * calls - 2, [])
    assert metrics.poison == (calls if calls > 1 else 0)


@pytest.mark.parametrize("calls", [2, 3, 7, 31, 32, 100])
@virtual
async def test_the_cost_of_one_poison_call_is_logarithmic(calls: int):
    """Whatever the number of calls and wherever it stands."""
    for at in (0, calls // 2, calls - 1):
        runner = FakeRunner(poison=[at])
        async with batcher(runner) as layer:
            await outcomes([call(layer, tag) for tag in range(calls)])
        assert len(runner.runs) - 1 <= 2 * math.ceil(math.log2(calls))


@virtual
async def test_each_error_goes_to_its_own_caller():
    """Two poison calls get two errors of their own run, not one shared by both."""
    count = iter(range(100))
    runner = FakeRunner(poison=[1, 2], error=lambda: ModelFailed(f"run {next(count)}"))
    async with batcher(runner) as layer:
        ends = await asyncio.gather(*[call(layer, tag) for tag in range(4)], return_exceptions=True)
    assert [str(end) for end in ends if isinstance(end, ModelFailed)] == ["run 2", "run 4"]


@pytest.mark.parametrize("quick_rows", [0, 1000])
@virtual
async def test_any_exception_of_a_runner_reaches_only_the_call_at_fault(quick_rows: int):
    """What is not a ServerError is isolated like one; the transport decides what is said of it."""
    runner = FakeRunner(poison=[2], quick_rows=quick_rows, error=lambda: ZeroDivisionError("theirs"))
    async with batcher(runner) as layer:
        assert await outcomes([call(layer, tag) for tag in range(4)]) == [[0], [1], ZeroDivisionError, [3]]


@pytest.mark.parametrize("quick_rows", [0, 1000])
@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (lambda x: {"y": x[:-1]}, "output 'y': expected 3 rows on axis 0, got shape [2, 1]"),
        (lambda x: {"y": np.vstack([x, x])}, "output 'y': expected 3 rows on axis 0, got shape [6, 1]"),
        (lambda _: {"y": np.array(3)}, "output 'y': expected 3 rows on axis 0, got shape []"),
        (lambda x: {"z": x}, "output 'y': expected of the model, got none"),
    ],
)
@virtual
async def test_wrong_rows_fail_everybody_and_are_never_handed_out(outputs, message: str, quick_rows: int):
    """Nobody can tell whose rows they are; the model is at fault, and running it again would not help."""
    runner = FakeRunner(model=lambda inputs: outputs(inputs["x"]), quick_rows=quick_rows)
    async with batcher(runner) as layer:
        ends = await asyncio.gather(*[call(layer, tag) for tag in range(3)], return_exceptions=True)
    assert [(type(end), str(end)) for end in ends] == [(BadModelOutput, message)] * 3
    assert len({id(end) for end in ends}) == 3
    assert runner.runs == [[0, 1, 2]]


@virtual
async def test_wrong_rows_fail_a_lone_call():
    """A single call is checked as well."""
    runner = FakeRunner(model=lambda inputs: {"y": inputs["x"][:1]})
    async with batcher(runner) as layer:
        assert await outcomes([call(layer, 1, 2)]) == [BadModelOutput]


@virtual
async def test_outputs_that_nobody_declared_are_left_out():
    """A runner may return more than its signature."""
    runner = FakeRunner(model=lambda inputs: {"y": inputs["x"], "debug": np.array(1)})
    async with batcher(runner) as layer:
        ends = await asyncio.gather(call(layer, 1), call(layer, 2))
    assert [list(end.outputs) for end in ends] == [["y"], ["y"]]


@virtual
async def test_who_is_cancelled_or_late_while_poison_is_sought_does_not_run_again():
    """Re-runs are for those who still wait; being late is not being poison."""
    runner, metrics = FakeRunner(poison=[0]), FakeBatchMetrics()
    async with batcher(runner, metrics=metrics) as layer:
        calls = [call(layer, 0), call(layer, 1), call(layer, 2, deadline=1.5), call(layer, 3)]
        await asyncio.sleep(1.2)
        calls[1].cancel()
        assert await outcomes(calls) == [ModelFailed, asyncio.CancelledError, DeadlinePassed, [3]]
    assert (runner.runs, metrics.poison) == ([[0, 1, 2, 3], [0, 1], [0], [3]], 1)


@virtual
async def test_expiring_in_a_rerun_is_not_counted_as_poison():
    """Only a run that fails is at fault."""
    runner, metrics = FakeRunner(poison=[0]), FakeBatchMetrics()
    async with batcher(runner, metrics=metrics) as layer:
        assert await outcomes([call(layer, 0), call(layer, 1, deadline=2.5)]) == [ModelFailed, DeadlinePassed]
    assert (runner.runs, metrics.poison) == ([[0, 1], [0], [1]], 1)


@virtual
async def test_other_work_goes_on_while_poison_is_sought():
    """The search holds one slot; a second slot serves the next calls."""
    runner = FakeRunner(poison=[0])
    async with batcher(runner, slots=RunSlots(2), policy=BatchPolicy(max_rows=4)) as layer:
        bad = [call(layer, tag) for tag in (0, 1, 2, 3)]
        await asyncio.sleep(1.5)
        assert await outcomes([call(layer, 9)]) == [[9]]
        assert now() == 2.5
        await outcomes(bad)


@virtual
async def test_a_quick_model_gives_way_while_poison_is_sought():
    """The re-runs of a quick model are spread over ticks of the loop."""
    runner = FakeRunner(poison=range(8), quick_rows=100, cost=FakeCosts(run_s=0.0))
    async with batcher(runner) as layer:
        calls = [call(layer, tag) for tag in range(8)]
        await ticks_until(lambda: len(runner.runs) > 0)
        seen = []
        while not all(task.done() for task in calls):
            seen.append(len(runner.runs))
            await asyncio.sleep(0)
        steps = [later - earlier for earlier, later in itertools.pairwise(seen)]
    assert (max(steps), len(runner.runs)) == (1, 15)


@pytest.mark.parametrize("quick_rows", [0, 1000])
@virtual
async def test_a_metric_that_raises_fails_nobody(quick_rows: int):
    """Those who wait are served first; the loop's handler hears of the bug."""
    heard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(str(context["exception"])))

    class Broken(FakeBatchMetrics):
        def ran(self, **_: object) -> None:
            raise RuntimeError("broken metric")

    slots = RunSlots(1)
    runner = FakeRunner(quick_rows=quick_rows)
    async with batcher(runner, metrics=Broken(), slots=slots, policy=BatchPolicy(max_rows=1)) as layer:
        assert await outcomes([call(layer, 1), call(layer, 2)]) == [[1], [2]]
    assert (heard, slots.free) == (["broken metric"] * 2, 1)


@virtual
async def test_a_runner_that_is_shut_down_ends_its_calls():
    """A run that is cancelled from within, as by a pool that closes, leaves nobody waiting."""
    runner = FakeRunner(poison=[1, 2], error=asyncio.CancelledError)
    slots = RunSlots(1)
    async with batcher(runner, slots=slots) as layer:
        ends = await asyncio.gather(call(layer, 1), call(layer, 2), return_exceptions=True)
        assert [str(end) for end in ends] == ["the model stopped serving while the call ran"] * 2
        assert await outcomes([call(layer, 3)]) == [[3]]
    assert slots.free == 1


@virtual
async def test_leaving_while_poison_is_sought_waits_for_the_search():
    """Every call of a batch that was taken is answered."""
    runner = FakeRunner(poison=[0], quick_rows=100)
    async with batcher(runner) as layer:
        calls = [call(layer, tag) for tag in range(4)]
        await ticks_until(lambda: len(runner.runs) > 0)
    assert await outcomes(calls) == [ModelFailed, [1], [2], [3]]


@virtual
async def test_rows_that_cannot_be_joined_fail_alone():
    """Joining is part of the run: inputs that numpy refuses to join are run one by one."""
    runner = FakeRunner()
    async with batcher(runner) as layer:
        odd = request(2)
        odd.inputs = {"x": np.zeros((1, 1, 1), np.int64)}
        ends = await outcomes([call(layer, 1), asyncio.create_task(layer.predict(odd)), call(layer, 3)])
    assert (ends, runner.runs) == ([[1], [0], [3]], [[1], [0], [3]])
