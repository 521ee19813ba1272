"""ModelStreamInfer: answers in the order of the calls, errors in messages, and nothing lost however it ends."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from open_inference import grpc_service_pb2 as oip
from serinus.core.errors import Overloaded
from serinus.telemetry.metrics import Metrics
from serinus.transport.deadlines import Budgets
from serinus.transport.drain import Drain
from serinus.transport.oip.decode import InferDecoder
from serinus.transport.oip.infer import OipInfer
from serinus.transport.wire_limits import WireLimits
from tests.transport.fake_context import FakeContext
from tests.transport.framing import Answers

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class Streaming:
    """A ModelStreamInfer over a fake context, to a predictor that the test lets go."""

    def __init__(self, predictor: Answers, *, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self.context: Any = FakeContext(metadata=metadata)
        self.drain = Drain()
        models: Any = predictor
        decoder = InferDecoder(budgets=Budgets(), limits=WireLimits.of(oip.ModelInferRequest, 64))
        metrics = Metrics(CollectorRegistry())
        self._infer = OipInfer(models=models, predictor=predictor, decoder=decoder, drain=self.drain, metrics=metrics)

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._infer.stream(self.context))

    @property
    def answers(self) -> list[tuple[str, str]]:
        """Id and error of each answer written."""
        parsed = [oip.ModelStreamInferResponse.FromString(message) for message in self.context.written]
        return [(each.infer_response.id, each.error_message) for each in parsed]


def call(call_id: object) -> bytes:
    return oip.ModelInferRequest(model_name="m", id=str(call_id)).SerializeToString()


async def test_answers_keep_the_order_of_the_calls():
    """Whichever is ready first."""
    predictor = Answers(opened=False)
    stream = Streaming(predictor)
    stream.context.send(call(1), call(2))
    stream.context.close()
    serving = stream.start()
    await predictor.until_inside(2)
    predictor.let_go(2)
    predictor.let_go(1)
    await serving
    assert stream.answers == [("1", ""), ("2", "")]


async def test_no_started_call_is_lost_when_the_server_drains():
    """Not even with more calls than may be open: the next is not read before there is room for its answer."""
    predictor = Answers(opened=False)
    stream = Streaming(predictor)
    stream.context.send(*(call(number) for number in range(300)))
    serving = stream.start()
    await predictor.until_inside(256)
    stream.drain.begin()
    predictor.open()
    await serving
    assert stream.answers == [(str(number), "") for number in range(len(predictor.requests))]


async def test_an_error_leaves_the_stream_open():
    """It travels in a message that names the call, whatever alphabet its id is in."""
    predictor = Answers()
    predictor.failing[1] = Overloaded("too much", retry_after_s=1)
    stream = Streaming(predictor)
    stream.context.send(oip.ModelInferRequest(id="grün", inputs=[{"datatype": "FP8"}]).SerializeToString())
    stream.context.send(call(1), call(2))
    stream.context.close()
    await stream.start()
    assert [answer[0] for answer in stream.answers] == ["grün", "1", "2"]
    assert [answer[1].partition(":")[0] for answer in stream.answers] == ["UNKNOWN_DTYPE", "OVERLOADED", ""]


async def test_a_client_that_asks_for_statuses_gets_one_and_the_stream_ends():
    """Calls behind the one that failed are cancelled."""
    predictor = Answers(opened=False)
    predictor.failing[1] = Overloaded("too much", retry_after_s=1)
    stream = Streaming(predictor, metadata=(("triton_grpc_error", "true"),))
    stream.context.send(call(1), call(2))
    serving = stream.start()
    await predictor.until_inside(2)
    predictor.let_go(1)
    with pytest.raises(Overloaded):
        await serving
    assert (stream.answers, predictor.ended[2]) == ([], "cancelled")


async def test_a_client_that_vanishes_during_a_write_is_no_error():
    """The handler waits until grpc.aio cancels it, and takes its calls with it."""
    predictor = Answers(opened=False)
    stream = Streaming(predictor)
    stream.context.broken = grpc.aio.InternalError("gone")
    stream.context.send(call(1), call(2))
    serving = stream.start()
    await predictor.until_inside(2)
    predictor.let_go(1)
    await stream.context.tried.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert predictor.ended[2] == "cancelled"
