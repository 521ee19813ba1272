"""Who is turned away, with which words, and that memory is given back on every way out."""

import asyncio

import pytest

from serinus.core.criticality import Criticality
from serinus.core.errors import DeadlinePassed, ModelFailed, Overloaded
from serinus.core.predictor import Request
from serinus.serving.admission import Admission, ByteBudget
from serinus.serving.batching.batch_policy import BatchPolicy
from serinus.serving.pressure import Pressure
from serinus.serving.room import Room
from tests.serving.batching.batchers import batcher, call
from tests.support.fakes import FakePredictor, FakeRunner, outcomes, request, settle
from tests.support.virtual_loop import virtual


class FakeBacklog:
    """A queue whose length, speed and room a test sets."""

    def __init__(self, *, queued_calls: int = 0, finish_s: float = 0.0, room: Room = Room.NONE) -> None:
        self.queued_calls = queued_calls
        self.finish_s = finish_s
        self.room = room

    def predicted_finish_s(self, request: Request) -> float:
        return self.finish_s * request.rows

    def predicted_wait_s(self, request: Request) -> float:
        return self.finish_s * request.rows / 2

    def make_room(self, _request: Request) -> Room:
        return self.room


def admission(
    inner=None,
    *,
    limit: int = 100,
    backlog: FakeBacklog | None = None,
    max_calls: int = 10,
    max_wait_s: float | None = None,
    pressure: Pressure | None = None,
    at: float = 0.0,
):
    budget = ByteBudget(limit)
    layer = Admission(
        inner or FakePredictor(),
        budget=budget,
        backlog=backlog or FakeBacklog(),
        max_calls=max_calls,
        max_wait_s=max_wait_s,
        pressure=pressure,
        clock=lambda: at,
    )
    return layer, budget


def of_class(criticality: Criticality, *tags: int, deadline: float) -> Request:
    wish = request(*tags, deadline=deadline)
    wish.criticality = criticality
    return wish


async def refusal(layer: Admission, wish: Request) -> tuple[str, str, float]:
    with pytest.raises(Overloaded) as refused:
        await layer.predict(wish)
    return refused.value.reason, refused.value.message, refused.value.retry_after_s


@virtual
async def test_a_call_over_its_deadline_is_not_let_in():
    """Not even when its time is over to the bit."""
    inner = FakePredictor()
    layer, budget = admission(inner, at=5.0)
    for deadline in (4.0, 5.0):
        with pytest.raises(DeadlinePassed, match="the deadline had passed when the call arrived"):
            await layer.predict(request(1, deadline=deadline))
    assert (inner.calls, budget.used) == ([], 0)


@virtual
async def test_a_call_that_would_be_late_is_refused():
    """The refusal says by how much, and to come back after that."""
    layer, budget = admission(backlog=FakeBacklog(finish_s=1.5), at=5.0)
    assert await refusal(layer, request(1, 2, deadline=7.0)) == (
        "TOO_LATE",
        "the answer is predicted in 3.000 s, the deadline is in 2.000 s, of which default calls get 80%",
        pytest.approx(1.4),
    )
    assert budget.used == 0
    await layer.predict(request(1, 2, deadline=9.0))


@pytest.mark.parametrize(
    ("criticality", "enough_s"),
    [(Criticality.CRITICAL, 9.0), (Criticality.DEFAULT, 11.25), (Criticality.SHEDDABLE, 18.0)],
)
@virtual
async def test_less_critical_calls_are_refused_earlier(criticality: Criticality, enough_s: float):
    """With the same queue before them and the same time left: the rest of the time is for the others."""
    layer, _ = admission(backlog=FakeBacklog(finish_s=9.0))
    await layer.predict(of_class(criticality, 1, deadline=enough_s))
    reason, _, _ = await refusal(layer, of_class(criticality, 1, deadline=enough_s - 0.01))
    assert reason == "TOO_LATE"


@virtual
async def test_a_queue_is_capped_in_time():
    """Whatever the deadlines are."""
    backlog = FakeBacklog(finish_s=3.0)
    layer, _ = admission(backlog=backlog, max_wait_s=1.0)
    assert await refusal(layer, request(1)) == ("QUEUE_WAIT", "a run is predicted in 1.500 s, the limit is 1 s", 0.5)
    backlog.finish_s = 2.0
    await layer.predict(request(1))


@virtual
async def test_a_full_queue_sheds():
    """The calls that wait are bounded."""
    layer, _ = admission(backlog=FakeBacklog(queued_calls=10, finish_s=0.5))
    assert await refusal(layer, request(1)) == ("QUEUE_FULL", "10 calls wait, the limit is 10", 0.5)


@virtual
async def test_a_full_queue_says_whose_share_is_used():
    """And takes a call for which another made room."""
    backlog = FakeBacklog(queued_calls=10, finish_s=0.5, room=Room.SHARE_USED)
    layer, _ = admission(backlog=backlog)
    assert await refusal(layer, request(1)) == (
        "TENANT_SHARE",
        "10 calls wait, which is the limit, and this tenant has its share of them",
        0.5,
    )
    backlog.room = Room.MADE
    await layer.predict(request(1))


@virtual
async def test_nobody_makes_room_for_a_call_that_is_refused_besides():
    """A call without memory ends no other."""
    backlog = FakeBacklog(queued_calls=10, room=Room.MADE)
    layer, _ = admission(backlog=backlog, limit=5)
    assert (await refusal(layer, request(1, size_bytes=6)))[0] == "BYTES_IN_FLIGHT"


@virtual
async def test_memory_pressure_refuses_sheddable_calls_and_then_all():
    """The more critical ones once there is nothing else to give up."""
    pressure = Pressure(high=0.5, full=0.8)
    layer, _ = admission(pressure=pressure)

    async def refused() -> list[Criticality]:
        calls = [layer.predict(of_class(criticality, 1, deadline=1.0)) for criticality in Criticality]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert {(end.reason, end.retry_after_s) for end in ends if isinstance(end, Overloaded)} <= {
            ("MEMORY_PRESSURE", 1.0)
        }
        return [criticality for criticality, end in zip(Criticality, ends, strict=True) if isinstance(end, Overloaded)]

    seen = []
    for used in (49, 50, 80, 70, 10):
        pressure.read(used, 100)
        seen.append(await refused())
    assert seen == [[], [Criticality.SHEDDABLE], list(Criticality), [Criticality.SHEDDABLE], []]


@virtual
async def test_bytes_in_flight_are_bounded():
    """To the byte, over all calls that share the budget."""
    inner = FakePredictor(gate=asyncio.Event())
    layer, budget = admission(inner)
    inside = asyncio.create_task(layer.predict(request(1, size_bytes=60)))
    await settle()
    assert await refusal(layer, request(2, size_bytes=41)) == (
        "BYTES_IN_FLIGHT",
        "60 bytes are in flight and the call has 41, the limit is 100",
        0.01,
    )
    fits = asyncio.create_task(layer.predict(request(3, size_bytes=40)))
    await settle()
    assert repr(budget) == "<ByteBudget 100/100 bytes>"
    inner.gate.set()
    await asyncio.gather(inside, fits)
    assert budget.used == 0


@pytest.mark.parametrize(("late_s", "retry_after_s"), [(0.001, 0.01), (0.25, 0.25), (100.0, 5.0)])
@virtual
async def test_the_time_to_come_back_is_bounded(late_s: float, retry_after_s: float):
    """Neither noise nor a guess about the far future."""
    layer, _ = admission(backlog=FakeBacklog(finish_s=1.0 + late_s))
    assert (await refusal(layer, of_class(Criticality.CRITICAL, 1, deadline=1.0)))[2] == pytest.approx(retry_after_s)


@virtual
async def test_memory_is_given_back_after_an_error_and_a_cancellation():
    """Whatever way a call leaves by."""
    failing, failing_budget = admission(FakePredictor(ModelFailed("no")))
    with pytest.raises(ModelFailed):
        await failing.predict(request(1, size_bytes=9))
    hanging, hanging_budget = admission(FakePredictor(gate=asyncio.Event()))
    task = asyncio.create_task(hanging.predict(request(1, size_bytes=9)))
    await settle()
    assert hanging_budget.used == 9
    task.cancel()
    await asyncio.wait([task])
    assert (failing_budget.used, hanging_budget.used) == (0, 0)


@virtual
async def test_a_lone_call_is_let_in_however_slow_the_model_was():
    """One slow run must not teach the server to refuse for ever; with a run in the way the prediction counts."""
    runner = FakeRunner()
    runner.cost.run_s = 1000.0
    async with batcher(runner, policy=BatchPolicy(max_rows=1)) as inner:
        layer = Admission(
            inner, budget=ByteBudget(1), backlog=inner, max_calls=10, clock=asyncio.get_running_loop().time
        )
        calls = [call(layer, 1, deadline=10.0)]
        await settle()
        calls.append(call(layer, 2, deadline=10.0))
        await asyncio.sleep(2000)
        calls.append(call(layer, 3, deadline=2010.0))
        assert await outcomes(calls) == [DeadlinePassed, Overloaded, DeadlinePassed]
    assert runner.runs == [[1], [3]]
