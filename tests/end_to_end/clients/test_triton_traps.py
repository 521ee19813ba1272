"""What makes Triton's C++ client, perf_analyzer and grpc.aio stumble; each was seen to."""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from tests.end_to_end.clients.calls import busy, floats, sent
from tests.end_to_end.clients.process import ChildServer


async def test_every_version_that_a_client_sees_is_an_integer(client):
    """The C++ client reads them with std::stoll: "1.2.0" counts nothing, "v3" ends it."""
    await client.infer("versions", [floats("x", [1])])
    seen = [each.version for each in (await client.get_inference_statistics()).model_stats]
    seen += [each.version for each in (await client.get_model_repository_index()).models]
    seen += (await client.get_model_metadata("versions")).versions
    seen.append((await client.infer("versions", [floats("x", [1])])).get_response().model_version)
    assert min(int(version) for version in seen) == 1


async def test_all_phases_are_counted_once_for_each_call(client):
    """Other counts end perf_analyzer; and it picks the version whose queue count rose."""

    async def counts() -> np.ndarray:
        [model] = (await client.get_inference_statistics("two", "1")).model_stats
        stats = model.inference_stats
        phases = (stats.success, stats.queue, stats.compute_input, stats.compute_infer, stats.compute_output)
        return np.array([each.count for each in phases])

    before = await counts()
    for _ in range(3):
        await client.infer("two", [floats("a", [1, 2], [3, 4]), floats("b", [1, 2], [3, 4])])
    assert (await counts() - before).tolist() == [3] * 5


async def test_rows_runs_failures_and_times_are_counted(client):
    """`inference_count` is rows, `execution_count` runs; a failed call counts as `fail` alone."""

    async def stats() -> triton.service_pb2.ModelStatistics:
        return (await client.get_inference_statistics("poison")).model_stats[0]

    before = await stats()
    await client.infer("poison", [floats("x", [1, 2, 3, 4], [5, 6, 7, 8])])
    with pytest.raises(InferenceServerException):
        await client.infer("poison", [floats("x", [666, 2, 3, 4])])
    after = await stats()
    deltas = {
        "rows": after.inference_count - before.inference_count,
        "success": after.inference_stats.success.count - before.inference_stats.success.count,
        "fail": after.inference_stats.fail.count - before.inference_stats.fail.count,
    }
    assert deltas == {"rows": 2, "success": 1, "fail": 1}
    assert after.execution_count > before.execution_count
    assert after.last_inference >= before.last_inference > 1.7e12 or before.last_inference == 0
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert sum(each.compute_infer.count for each in after.batch_stats) == after.execution_count


async def test_free_lengths_are_shown_as_such_and_no_batch_axis_as_zero_rows(client):
    """perf_analyzer asks for --shape where it sees -1, and forbids -b above 1 where max_batch_size is 0."""
    sequence = (await client.get_model_config("sequence")).config
    slow = (await client.get_model_config("slow")).config
    assert [list(each.dims) for each in sequence.input] == [[-1]]
    assert (sequence.max_batch_size > 0, slow.max_batch_size) == (True, 0)


async def test_parts_of_the_configuration_that_need_a_flag_have_it_or_are_absent(client):
    """`response_cache.enable` and `model_transaction_policy.decoupled` are read as soon as their message is there."""
    config = (await client.get_model_config("tabular")).config
    assert (config.HasField("response_cache"), config.model_transaction_policy.decoupled) == (False, False)


async def test_there_is_one_raw_entry_for_each_output_even_if_the_request_was_typed(server: ChildServer):
    """The C++ client indexes raw_output_contents without looking; typed contents crash it."""
    request = service_pb2.ModelInferRequest(model_name="two")
    for name in ("a", "b"):
        tensor = request.inputs.add(name=name, datatype="FP32", shape=[1, 2])
        tensor.contents.fp32_contents.extend([2, 3])
    async with grpc.aio.insecure_channel(server.target) as channel:
        answer = await triton.service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert [each.HasField("contents") for each in answer.outputs] == [False, False]
    assert [np.frombuffer(raw, "<f4").tolist() for raw in answer.raw_output_contents] == [[4, 6], [4, 9]]


async def test_a_method_that_nobody_knows_is_unimplemented_without_python_text(server: ChildServer):
    """An unhandled NotImplementedError would show the name of a class."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/inference.GRPCInferenceService/ModelExplain")(b"")
    assert (caught.value.code(), "class" in str(caught.value.details())) == (grpc.StatusCode.UNIMPLEMENTED, False)


@pytest.fixture
async def runs(server: ChildServer) -> AsyncIterator[tuple[triton_aio.InferenceServerClient, Callable]]:
    """A client, and how often the model `slow` has run since."""
    async with triton_aio.InferenceServerClient(server.target) as client:

        async def count() -> int:
            return int((await client.get_inference_statistics("slow")).model_stats[0].execution_count)

        await client.infer("slow", busy(1))  # whatever ran is over
        before = await count()

        async def since() -> int:
            return await count() - before

        yield client, since


async def test_calls_that_are_cancelled_while_they_wait_are_never_run(runs):
    """grpc.aio cancels their handlers; nothing of them may stay in the queue."""
    client, runs_since = runs
    long = await sent(client, model_name="slow", inputs=busy(1_000_000))
    waiting = [await sent(client, model_name="slow", inputs=busy(1)) for _ in range(20)]
    for call in waiting:
        call.cancel()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    await long
    await client.infer("slow", busy(1))
    assert ({type(end) for end in ends}, await runs_since()) == ({asyncio.CancelledError}, 2)


async def test_calls_that_run_out_of_time_while_they_wait_are_never_run(runs):
    """They end at their deadline, or at once when it is plain that they cannot be answered before it."""
    client, runs_since = runs
    long = await sent(client, model_name="slow", inputs=busy(1_000_000))
    waiting = [client.infer("slow", busy(1), client_timeout=0.05) for _ in range(20)]
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    await long
    await client.infer("slow", busy(1))
    statuses = {end.status() for end in ends if isinstance(end, InferenceServerException)}
    assert statuses <= {"StatusCode.DEADLINE_EXCEEDED", "StatusCode.RESOURCE_EXHAUSTED"}
    assert (len(ends), await runs_since()) == (20, 2)


async def test_what_the_cpp_client_sends_on_every_call_is_taken_quietly(server: ChildServer):
    """Its empty-final-response parameter, also where there is no stream."""
    request = service_pb2.ModelInferRequest(model_name="tabular", id="0")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 8])
    request.raw_input_contents.append(bytes(32))
    request.outputs.add(name="y")
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    async with grpc.aio.insecure_channel(server.target) as channel:
        answer = await triton.service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    np.testing.assert_array_equal(np.frombuffer(answer.raw_output_contents[0], "<f4"), [0, 1, 2, 3])


async def test_a_reserved_parameter_is_refused(server: ChildServer):
    """Triton's own clients refuse to send it; others get a sentence."""
    request = service_pb2.ModelInferRequest(model_name="tabular")
    request.parameters["triton_mine"].int64_param = 1
    async with grpc.aio.insecure_channel(server.target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await triton.service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "RESERVED_PARAMETER: parameter 'triton_mine' is reserved by the protocol",
    )


async def test_a_failed_call_of_a_stream_keeps_its_id(server: ChildServer):
    """perf_analyzer numbers the calls of a stream and looks each answer up."""

    async def requests():
        yield service_pb2.ModelInferRequest(model_name="nobody", id="17")

    async with grpc.aio.insecure_channel(server.target) as channel:
        stream = triton.service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(requests())
        [answer] = [each async for each in stream]
    assert (answer.infer_response.id, answer.error_message) == (
        "17",
        "NOT_FOUND: model 'nobody': expected one that this server has; 'serinus models list' shows them",
    )
