"""Every call is counted once, by what became of it."""

import asyncio

import pytest

from serinus.core.errors import (
    BadModelOutput,
    DeadlinePassed,
    Draining,
    InvalidInput,
    ModelFailed,
    NotLoaded,
    Overloaded,
)
from serinus.core.predictor import Response
from serinus.serving.measured import Measured
from serinus.telemetry.outcome import Outcome
from tests.support.fakes import FAKE_VERSION, FakeCallMetrics, FakePredictor, request, settle
from tests.support.virtual_loop import virtual


@virtual
async def test_an_answer_is_counted_with_its_time():
    """From arrival, not from the layer's own start."""
    loop, metrics, answer = asyncio.get_running_loop(), FakeCallMetrics(), Response({}, FAKE_VERSION)
    layer = Measured(FakePredictor(answer), metrics=metrics, clock=loop.time)
    await asyncio.sleep(3)
    wish = request(1)
    wish.arrived = 1.0
    assert await layer.predict(wish) is answer
    assert metrics.events == [("answered", 2.0)]


@pytest.mark.parametrize("answer", [Response({}, FAKE_VERSION), ModelFailed("x")])
@virtual
async def test_the_last_use_is_when_a_call_last_left(answer: Response | Exception):
    """However it left; before the first one, when the version was loaded."""
    loop, gate = asyncio.get_running_loop(), asyncio.Event()
    await asyncio.sleep(3)
    layer = Measured(FakePredictor(answer, gate), metrics=FakeCallMetrics(), clock=loop.time)
    assert layer.last_used_s == 3.0
    call = asyncio.create_task(layer.predict(request(1)))
    await asyncio.sleep(2)
    assert layer.last_used_s == 3.0
    gate.set()
    await asyncio.wait((call,))
    call.exception()
    assert layer.last_used_s == 5.0


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (InvalidInput("x"), Outcome.INVALID),
        (Overloaded("x", retry_after_s=1), Outcome.SHED),
        (Draining("x"), Outcome.SHED),
        (DeadlinePassed("x"), Outcome.EXPIRED),
        (ModelFailed("x"), Outcome.FAILED),
        (BadModelOutput("x"), Outcome.FAILED),
        (NotLoaded("x"), Outcome.FAILED),
        (ZeroDivisionError("x"), Outcome.FAILED),
    ],
)
@virtual
async def test_an_error_is_counted_by_kind_and_passed_on(error: Exception, outcome: Outcome):
    """The caller sees the very error."""
    metrics = FakeCallMetrics()
    layer = Measured(FakePredictor(error), metrics=metrics, clock=lambda: 0.5)
    with pytest.raises(type(error)) as seen:
        await layer.predict(request(1))
    assert (seen.value is error, metrics.events) == (True, [(outcome, 0.5)])


@pytest.mark.parametrize(
    ("error", "sheds"),
    [
        (Overloaded("x", retry_after_s=1, reason="QUEUE_FULL"), ["QUEUE_FULL"]),
        (Draining("x"), ["DRAINING"]),
        (DeadlinePassed("x"), []),
    ],
)
@virtual
async def test_a_refusal_is_counted_by_its_reason(error: Exception, sheds: list[str]):
    """Which of the limits is too low, the sum of all refusals does not say."""
    metrics = FakeCallMetrics()
    layer = Measured(FakePredictor(error), metrics=metrics, clock=lambda: 0.5)
    with pytest.raises(type(error)):
        await layer.predict(request(1))
    assert metrics.sheds == sheds


@pytest.mark.parametrize(("deadline", "outcome"), [(9.0, Outcome.CANCELLED), (5.0, Outcome.EXPIRED)])
@virtual
async def test_a_cancellation_at_the_deadline_is_an_expiry(deadline: float, outcome: Outcome):
    """gRPC cancels the handler for both reasons."""
    loop, metrics = asyncio.get_running_loop(), FakeCallMetrics()
    layer = Measured(FakePredictor(gate=asyncio.Event()), metrics=metrics, clock=loop.time)
    task = asyncio.create_task(layer.predict(request(1, deadline=deadline)))
    await settle()
    loop.call_at(5.0, task.cancel)
    await asyncio.wait([task])
    assert (task.cancelled(), metrics.events) == (True, [(outcome, 5.0)])
