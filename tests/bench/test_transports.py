"""The ways to a server, against one that is made here."""

import asyncio

import grpc
import grpc.aio
import numpy as np
import pytest

from open_inference import grpc_service_pb2 as oip
from serinus.bench.calls import Outcome, outcome_of
from serinus.bench.transports import Way, opened
from serinus_api.v1 import predict_pb2 as pb

INPUTS = [{"x": np.full((1, 2), number, np.float32)} for number in range(2)]


class FakeServer:
    """Keeps what it is asked; the stream answers two at a time, the later one first."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.peers: set[str] = set()

    async def predict(self, message, context):
        self.asked.append(message)
        self.peers.add(context.peer())
        return pb.PredictResponse(batch_rows=7).SerializeToString()

    async def infer(self, message, context):
        self.asked.append(message)
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL: 3 calls wait")

    async def stream(self, messages, _context):
        waiting = []
        async for message in messages:
            request = oip.ModelInferRequest.FromString(message)
            value = np.frombuffer(request.raw_input_contents[0], np.float32)[0]
            error = "QUEUE_FULL: no" if value else ""
            infer = oip.ModelInferResponse(id=request.id)
            waiting.append(oip.ModelStreamInferResponse(error_message=error, infer_response=infer).SerializeToString())
            if len(waiting) == 2:
                for answer in reversed(waiting):
                    yield answer
                waiting.clear()


@pytest.fixture
async def fake():
    """A server, and its address."""
    fake, server = FakeServer(), grpc.aio.server()
    infer = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(fake.infer),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(fake.stream),
    }
    predict = {"Predict": grpc.unary_unary_rpc_method_handler(fake.predict)}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("inference.GRPCInferenceService", infer),
            grpc.method_handlers_generic_handler("serinus.v1.PredictService", predict),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield fake, f"127.0.0.1:{port}"
    await server.stop(0)


async def test_unary_calls_send_inputs_in_turns_over_connections_in_turns(fake):
    """And say how many rows the run had."""
    server, target = fake
    async with opened(target, "m@1.0.0", INPUTS, Way.UNARY, connections=2) as call:
        assert [await call(number, 5.0) for number in range(4)] == [7] * 4
    requests = [pb.PredictRequest.FromString(message) for message in server.asked]
    assert [request.inputs[0].data for request in requests] == [INPUTS[i % 2]["x"].tobytes() for i in range(4)]
    assert {(request.model, request.version) for request in requests} == {("m", "1.0.0")}
    assert len(server.peers) == 2


async def test_a_refused_call_of_the_open_protocol_has_its_code_and_reason(fake):
    """As the server said them."""
    _, target = fake
    async with opened(target, "m", INPUTS, Way.OIP) as call:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(0, 5.0)
    assert outcome_of(caught.value) == Outcome("RESOURCE_EXHAUSTED", "QUEUE_FULL")


async def test_answers_of_a_stream_find_their_calls(fake):
    """Though they come in another order; an error is one call's alone."""
    _, target = fake
    async with opened(target, "m", INPUTS, Way.OIP_STREAM) as call:
        answers = await asyncio.gather(call(0, 5.0), call(1, 5.0), return_exceptions=True)
    assert [answers[0], outcome_of(answers[1])] == [0, Outcome("UNKNOWN", "QUEUE_FULL")]


async def test_a_call_of_a_stream_ends_with_its_time(fake):
    """A message of this protocol carries none, so the generator keeps it."""
    _, target = fake
    async with opened(target, "m", INPUTS, Way.OIP_STREAM) as call:
        with pytest.raises(TimeoutError):
            await call(0, 0.05)


async def test_calls_of_a_stream_that_breaks_end():
    """With the status that broke it."""
    async with opened("127.0.0.1:1", "m", INPUTS, Way.OIP_STREAM) as call:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one depends on who notices first
            await call(0, 5.0)
    assert outcome_of(caught.value).code in {"UNAVAILABLE", "UNKNOWN"}


@pytest.mark.parametrize("given", [{"inputs": [], "connections": 1}, {"inputs": INPUTS, "connections": 0}])
async def test_nothing_to_send_or_no_way_is_refused(given):
    """Before anything is opened."""
    with pytest.raises(ValueError, match="expected inputs and connections"):
        async with opened("127.0.0.1:1", "m", given["inputs"], Way.OIP, connections=given["connections"]):
            pass
