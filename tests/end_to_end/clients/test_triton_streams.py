"""Calls that do not wait for each other: `async_infer` and the stream of both of Triton's Python clients."""

import asyncio
import queue
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.end_to_end.clients.calls import busy, floats, sent
from tests.end_to_end.clients.process import ChildServer

WAIT_S = 30


@pytest.fixture
def blocking(server: ChildServer) -> Iterator[triton.InferenceServerClient]:
    """Triton's blocking client."""
    with triton.InferenceServerClient(server.target) as client:
        yield client


@pytest.fixture
async def awaiting(server: ChildServer) -> AsyncIterator[triton_aio.InferenceServerClient]:
    """Triton's client for asyncio."""
    async with triton_aio.InferenceServerClient(server.target) as client:
        yield client


class Ends:
    """A callback that keeps what it is told."""

    def __init__(self) -> None:
        self._ends: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()

    def __call__(self, result: Any, error: Any) -> None:
        self._ends.put((result, error))

    def take(self, count: int) -> list[tuple[str, str]]:
        """The next `count` ends: the id and the tag of an answer, or the status and message of an error."""
        return [end_of(*self._ends.get(timeout=WAIT_S)) for _ in range(count)]


def end_of(result: Any, error: Any) -> tuple[str, str]:
    if error is not None:
        return str(error.status()), error.message()
    return result.get_response().id, str(int(result.as_numpy("y")[0, 0]))


def call(tag: int, *, model: str = "identity-fp32") -> dict[str, Any]:
    """A call of a stream that answers its tag."""
    return {"model_name": model, "inputs": [floats("x", [tag, 0])], "request_id": f"call {tag}"}


WRONG = {"model_name": "identity-fp32", "inputs": [floats("x", [1, 2, 3])], "request_id": "wrong"}


async def each(*calls: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    for one in calls:
        yield one


def test_callbacks_get_the_answers_to_calls_made_at_once(blocking):
    """200 calls in flight, each answered with its own."""
    ends = Ends()
    for tag in range(200):
        blocking.async_infer(callback=ends, **call(tag))
    assert sorted(ends.take(200)) == sorted((f"call {tag}", str(tag)) for tag in range(200))


def test_a_callback_gets_the_error_of_a_call(blocking):
    """As an InferenceServerException with a status."""
    ends = Ends()
    blocking.async_infer(callback=ends, **WRONG)
    [(status, message)] = ends.take(1)
    assert (status, "'x'" in message) == ("StatusCode.INVALID_ARGUMENT", True)


def test_a_call_is_cancelled_by_its_context(blocking):
    """The callback learns of it, and the model answers the next call."""
    ends = Ends()
    blocking.async_infer("slow", busy(150_000), ends).cancel()
    assert ends.take(1)[0][0] == "StatusCode.CANCELLED"
    blocking.async_infer(callback=ends, **call(1))
    assert ends.take(1) == [("call 1", "1")]


def test_a_stream_answers_in_the_order_of_its_calls(blocking):
    """Slow and quick ones, of several models; closing the stream waits for them all."""
    ends = Ends()
    blocking.start_stream(ends, headers={"x-tenant": "blue"}, compression_algorithm="gzip")
    blocking.async_stream_infer("slow", busy(20_000), request_id="slow")
    for tag in range(50):
        blocking.async_stream_infer(**call(tag))
    blocking.stop_stream()
    assert ends.take(51) == [("slow", "1"), *((f"call {tag}", str(tag)) for tag in range(50))]


def test_a_stream_outlives_the_errors_of_its_calls(blocking):
    """An error travels as a message, the stream stays open; the C++ client's parameter is taken quietly."""
    ends = Ends()
    blocking.start_stream(ends)
    blocking.async_stream_infer(**WRONG)
    blocking.async_stream_infer(**call(1), enable_empty_final_response=True, parameters={"own": 1})
    (_, message), answer = ends.take(2)
    blocking.stop_stream()
    assert (message.startswith("WRONG_"), "'x'" in message, answer) == (True, True, ("call 1", "1")), message


def test_a_stream_ends_at_its_time_limit(blocking):
    """`stream_timeout` is a gRPC deadline."""
    ends = Ends()
    blocking.start_stream(ends, stream_timeout=0.2)
    blocking.async_stream_infer("slow", busy(400_000))
    [(status, _)] = ends.take(1)
    blocking.stop_stream()
    assert status == "StatusCode.DEADLINE_EXCEEDED"


def test_a_stream_is_ended_by_the_client_with_calls_in_flight(blocking):
    """`cancel_requests` throws them away; the server answers a new stream."""
    ends = Ends()
    blocking.start_stream(ends)
    blocking.async_stream_infer("slow", busy(100_000))
    blocking.stop_stream(cancel_requests=True)
    ends = Ends()
    blocking.start_stream(ends)
    blocking.async_stream_infer(**call(2))
    blocking.stop_stream()
    assert ends.take(1) == [("call 2", "2")]


async def test_an_async_stream_answers_in_the_order_of_its_calls(awaiting):
    """With an error among them that ends nothing."""
    calls = [call(tag) for tag in range(50)]
    stream = awaiting.stream_infer(each(*calls, WRONG, call(50)))
    ends = [end_of(result, error) async for result, error in stream]
    assert ends[:50] == [(f"call {tag}", str(tag)) for tag in range(50)]
    assert (ends[50][0], "'x'" in ends[50][1], ends[51:]) == ("None", True, [("call 50", "50")])


async def test_a_stream_that_asks_for_statuses_ends_with_the_first_error(awaiting):
    """Metadata `triton_grpc_error: true`: a real status in place of a message."""

    async def calls() -> AsyncIterator[dict[str, Any]]:
        yield call(0)
        yield WRONG
        # Not done, and silent: a client that writes while the server ends the stream may make up an INTERNAL.
        await asyncio.Event().wait()

    stream = awaiting.stream_infer(calls(), headers={"triton_grpc_error": "true"})
    first = end_of(*await anext(stream))
    with pytest.raises(grpc.aio.AioRpcError) as caught:  # Triton's client lets it through as it is
        await anext(stream)
    assert (first, caught.value.code()) == (("call 0", "0"), grpc.StatusCode.INVALID_ARGUMENT)


async def test_an_async_stream_is_cancelled(awaiting):
    """While a call is under way; the model answers the next caller."""
    go_on = asyncio.Event()

    async def calls() -> AsyncIterator[dict[str, Any]]:
        yield call(0)
        yield {"model_name": "slow", "inputs": busy(100_000)}
        await go_on.wait()

    stream = awaiting.stream_infer(calls())
    first = end_of(*await anext(stream))
    assert (first, stream.cancel()) == (("call 0", "0"), True)
    go_on.set()
    assert (await awaiting.infer("slow", busy(1))).as_numpy("y").shape == (1, 128)


async def test_calls_made_at_once_get_their_own_answers(awaiting):
    """200 of them on one channel."""
    answers = await asyncio.gather(*(awaiting.infer(**call(tag)) for tag in range(200)))
    assert [end_of(answer, None) for answer in answers] == [(f"call {tag}", str(tag)) for tag in range(200)]


async def test_a_more_urgent_call_overtakes_those_that_wait(awaiting):
    """Priority 1 before the default, however much later it came; one call at a time runs."""
    await awaiting.infer("slow", busy(1))  # whatever ran is over
    order: list[str] = []
    calls = {}
    for name, trips, priority in (("running", 1_000_000, 0), ("low", 1, 9), ("default", 1, 0), ("urgent", 1, 1)):
        calls[name] = await sent(awaiting, model_name="slow", inputs=busy(trips), priority=priority)
        calls[name].add_done_callback(lambda _, name=name: order.append(name))
    await asyncio.gather(*calls.values())
    assert order == ["running", "urgent", "default", "low"]


async def test_cancelled_calls_leave_their_neighbours_alone(awaiting):
    """Every other call of a crowd is cancelled by its client; the others get their own rows."""
    calls = {tag: asyncio.create_task(awaiting.infer(**call(tag))) for tag in range(100)}
    await asyncio.sleep(0)
    for tag in range(0, 100, 2):
        calls[tag].cancel()
    ends = await asyncio.gather(*calls.values(), return_exceptions=True)
    assert [end_of(end, None)[1] for end in ends[1::2]] == [str(tag) for tag in range(1, 100, 2)]
    np.testing.assert_array_equal(  # cancelled before or after the answer came
        [isinstance(end, asyncio.CancelledError | InferenceServerException) for end in ends[::2]], [True] * 50
    )
