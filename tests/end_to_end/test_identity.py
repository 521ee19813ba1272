"""100 000 calls at once over every way into the server: each gets its own rows back, and each is counted once."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton_aio

from open_inference import grpc_service_pb2 as oip
from serinus_api.v1 import predict_pb2 as pb
from serinus_client import AsyncClient
from tests.end_to_end.clients.process import ChildServer

MODEL = "identity"
ROWS = (1, 2, 3, 1, 5, 1, 8, 2)  # of calls in turn
UNARY_CALLS, STREAM_CALLS, PREDICT_CALLS, FRAME_CALLS = 15_000, 20_000, 15_000, 50_000
CALLS = UNARY_CALLS + STREAM_CALLS + PREDICT_CALLS + FRAME_CALLS
CALLERS = 48  # tasks of each unary way
FRAME_CALLERS = 256
STREAMS = 4
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


@dataclasses.dataclass
class Tally:
    """What came back.

    Attributes:
        answers: How many.
        wrong: Numbers of calls that got something else than their own rows.
    """

    answers: int = 0
    wrong: list[int] = dataclasses.field(default_factory=list)

    def count(self, number: int, *, right: bool) -> None:
        """Take down the answer to a call."""
        self.answers += 1
        if not right:
            self.wrong.append(number)


def rows_of(number: int) -> int:
    return ROWS[number % len(ROWS)]


def payload(number: int) -> np.ndarray:
    """INT64 [rows,2] that no other call has: the call's number beside the row's."""
    rows = np.empty((rows_of(number), 2), np.int64)
    rows[:, 0] = number
    rows[:, 1] = np.arange(len(rows))
    return rows


# What does not change from call to call is serialised once: the client must not be what is slow.
_OIP_HEADS = {
    rows: oip.ModelInferRequest(
        model_name=MODEL,
        inputs=[oip.ModelInferRequest.InferInputTensor(name="x", datatype="INT64", shape=[rows, 2])],
    ).SerializeToString()
    for rows in set(ROWS)
}


def oip_request(number: int) -> bytes:
    tail = oip.ModelInferRequest(id=str(number), raw_input_contents=[payload(number).tobytes()])
    return _OIP_HEADS[rows_of(number)] + tail.SerializeToString()


def is_oip_answer(number: int, answer: oip.ModelInferResponse) -> bool:
    return (
        answer.id == str(number)
        and list(answer.outputs[0].shape) == [rows_of(number), 2]
        and list(answer.raw_output_contents) == [payload(number).tobytes()]
    )


async def unary_oip(channel: grpc.aio.Channel, numbers: Iterator[int], tally: Tally) -> None:
    infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    for number in numbers:
        answer = oip.ModelInferResponse.FromString(await infer(oip_request(number)))
        tally.count(number, right=is_oip_answer(number, answer))


async def oip_stream(channel: grpc.aio.Channel, numbers: list[int], tally: Tally) -> None:
    """Answers come in the order of the calls."""

    async def requests() -> AsyncIterator[bytes]:
        for number in numbers:
            yield oip_request(number)

    expected = iter(numbers)
    async for message in channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")(requests()):
        number, answer = next(expected), oip.ModelStreamInferResponse.FromString(message)
        tally.count(number, right=not answer.error_message and is_oip_answer(number, answer.infer_response))


async def unary_predict(channel: grpc.aio.Channel, numbers: Iterator[int], tally: Tally) -> None:
    predict = channel.unary_unary("/serinus.v1.PredictService/Predict")
    for number in numbers:
        sent = payload(number)
        tensor = pb.Tensor(name="x", dtype=pb.DATA_TYPE_INT64, shape=sent.shape, data=sent.tobytes())
        request = pb.PredictRequest(model=MODEL, inputs=[tensor], request_id=str(number))
        answer = pb.PredictResponse.FromString(await predict(request.SerializeToString()))
        [output] = answer.outputs
        tally.count(number, right=(answer.request_id, output.data) == (str(number), sent.tobytes()))


async def frames(client: AsyncClient, numbers: Iterator[int], tally: Tally) -> None:
    for number in numbers:
        sent = payload(number)
        got = (await client.predict(MODEL, {"x": sent}))["y"]
        tally.count(number, right=got.shape == sent.shape and got.tobytes() == sent.tobytes())


async def statistics(server: ChildServer) -> dict[str, int]:
    async with triton_aio.InferenceServerClient(server.target) as client:
        [stats] = (await client.get_inference_statistics(MODEL)).model_stats
    counts = {
        "rows": stats.inference_count,
        "runs": stats.execution_count,
        "runs by size": sum(each.compute_infer.count for each in stats.batch_stats),
        "rows by size": sum(each.compute_infer.count * each.batch_size for each in stats.batch_stats),
        "fail": stats.inference_stats.fail.count,
    }
    for phase in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        counts[phase] = getattr(stats.inference_stats, phase).count
    return counts


@pytest.mark.timeout(300)  # two busy cores of a small machine; a dead-lock would take for ever
async def test_every_call_gets_its_own_rows_back_over_all_ways_at_once(server: ChildServer) -> None:
    """No mismatch, no loss, and the server's counters are exact."""
    numbers = iter(range(CALLS))
    unary, stream, predict, frame = (
        [next(numbers) for _ in range(count)] for count in (UNARY_CALLS, STREAM_CALLS, PREDICT_CALLS, FRAME_CALLS)
    )
    tallies = {way: Tally() for way in ("unary", "stream", "predict", "frames")}
    before = await statistics(server)
    async with (
        grpc.aio.insecure_channel(server.target, options=OPTIONS) as one,
        grpc.aio.insecure_channel(server.target, options=OPTIONS) as two,
        AsyncClient(server.target) as client,
        asyncio.TaskGroup() as callers,
    ):
        calls = iter(unary), iter(predict), iter(frame)  # each shared by the callers of its way
        for _ in range(CALLERS):
            callers.create_task(unary_oip(one, calls[0], tallies["unary"]))
            callers.create_task(unary_predict(two, calls[1], tallies["predict"]))
        for part in range(STREAMS):
            callers.create_task(oip_stream(one, stream[part::STREAMS], tallies["stream"]))
        for _ in range(FRAME_CALLERS):
            callers.create_task(frames(client, calls[2], tallies["frames"]))
    after = await statistics(server)
    assert tallies == {
        "unary": Tally(UNARY_CALLS),
        "stream": Tally(STREAM_CALLS),
        "predict": Tally(PREDICT_CALLS),
        "frames": Tally(FRAME_CALLS),
    }
    rows = sum(rows_of(number) for number in range(CALLS))
    risen = {name: after[name] - before[name] for name in after}
    runs = risen.pop("runs")
    assert (runs < CALLS, risen.pop("runs by size")) == (True, runs)
    assert risen == {
        "rows": rows,
        "rows by size": rows,
        "fail": 0,
        "success": CALLS,
        "queue": CALLS,
        "compute_input": CALLS,
        "compute_infer": CALLS,
        "compute_output": CALLS,
    }
