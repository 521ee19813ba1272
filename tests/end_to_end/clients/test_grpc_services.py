"""What every gRPC server is expected to have: health, reflection, and a port of its own."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.end_to_end.clients.process import ChildServer, refused_start

SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "inference.GRPCInferenceService",
    "serinus.v1.AdminService",
    "serinus.v1.PredictService",
    "serinus.v1.RegistryService",
]
SERVING = health_pb2.HealthCheckResponse.SERVING
BUF = Path(sys.executable).with_name("buf")
needs_buf = pytest.mark.skipif(not BUF.exists(), reason="buf-bin comes with the extra `dev`")


@pytest.fixture
async def channel(server: ChildServer) -> AsyncIterator[grpc.aio.Channel]:
    """A plain channel."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        yield channel


@pytest.mark.parametrize("service", ["", *(name for name in SERVICES if name.startswith(("inference", "serinus")))])
async def test_the_server_and_each_of_its_services_serve(channel, service):
    """By `Check`, and as the first word of `Watch`."""
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    watch = health.Watch(request)
    statuses = [(await health.Check(request)).status, (await watch.read()).status]
    watch.cancel()
    assert statuses == [SERVING, SERVING]


async def test_the_health_of_an_unknown_service_is_not_found_and_may_become_known(channel):
    """`Check` fails, `Watch` says unknown and stays open: both as the protocol of health checks has it."""
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="nobody")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(request)
    watch = health.Watch(request)
    first = await watch.read()
    assert (caught.value.code(), first.status, watch.done()) == (
        grpc.StatusCode.NOT_FOUND,
        health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
        False,
    )
    watch.cancel()


async def reflect(channel: grpc.aio.Channel, package: str, **question: str) -> reflection_pb2.ServerReflectionResponse:
    """Ask one question over `grpc.reflection.<package>`; the messages are the same on the wire."""
    stream = channel.stream_stream(
        f"/grpc.reflection.{package}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )()
    await stream.write(reflection_pb2.ServerReflectionRequest(**question))
    answer = await stream.read()
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    return answer


@pytest.mark.parametrize("package", ["v1", "v1alpha"])
async def test_reflection_lists_every_service(channel, package):
    """Itself included, under both names."""
    answer = await reflect(channel, package, list_services="")
    assert sorted(each.name for each in answer.list_services_response.service) == SERVICES


@pytest.mark.parametrize("package", ["v1", "v1alpha"])
@pytest.mark.parametrize("symbol", ["inference.GRPCInferenceService", "inference.ModelConfig", "serinus.v1.Call"])
async def test_reflection_describes_a_symbol(channel, package, symbol):
    """With the file that defines it."""
    answer = await reflect(channel, package, file_containing_symbol=symbol)
    files = answer.file_descriptor_response.file_descriptor_proto
    assert symbol.rsplit(".", 1)[-1].encode() in b"".join(files)


async def test_reflection_says_that_a_symbol_is_unknown(channel):
    """As an answer, with the stream left open."""
    answer = await reflect(channel, "v1", file_containing_symbol="nobody.Nothing")
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_old_reflection_clients_find_their_stub(channel):
    """The generated v1alpha stub, as grpc_cli and older tools use it."""
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answers = [each async for each in reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(requests)]
    assert len(answers) == 1


async def buf_curl(tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code and output of `buf curl`, which knows the server by reflection alone."""
    process = await asyncio.create_subprocess_exec(
        BUF,
        "curl",
        "--http2-prior-knowledge",
        "--protocol",
        "grpc",
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"BUF_CACHE_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    async with asyncio.timeout(60):
        out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


@needs_buf
async def test_buf_lists_the_methods(server: ChildServer, tmp_path: Path):
    """It asks for a description of every service that is listed."""
    code, text, errors = await buf_curl(tmp_path, "--list-methods", f"http://{server.target}")
    assert (code, "inference.GRPCInferenceService/ModelInfer" in text) == (0, True), errors


@needs_buf
async def test_buf_asks_for_a_configuration(server: ChildServer, tmp_path: Path):
    """A client that has none of the .proto files; the answer holds every type of ModelConfig."""
    url = f"http://{server.target}/inference.GRPCInferenceService/ModelConfig"
    code, text, errors = await buf_curl(tmp_path, "--data", '{"name": "tabular"}', url)
    assert (code, errors) == (0, "")
    config = json.loads(text)["config"]
    assert (config["maxBatchSize"], config["input"]) == (64, [{"name": "x", "dataType": "TYPE_FP32", "dims": ["8"]}])


@needs_buf
async def test_buf_makes_a_prediction_and_reads_an_error(server: ChildServer, tmp_path: Path):
    """Typed contents in, raw contents out; and a status with its details."""
    url = f"http://{server.target}/inference.GRPCInferenceService/ModelInfer"
    tensor = {"name": "x", "datatype": "BYTES", "shape": ["1", "2"], "contents": {"bytesContents": ["eWVz", "bm8="]}}
    code, text, errors = await buf_curl(
        tmp_path, "--data", json.dumps({"modelName": "identity-bytes", "inputs": [tensor]}), url
    )
    assert (code, errors, json.loads(text)["rawOutputContents"]) == (0, "", ["AwAAAHllcwIAAABubw=="])

    code, _, errors = await buf_curl(tmp_path, "--data", '{"modelName": "nobody"}', url)
    error = json.loads(errors)
    assert (code != 0, error["code"], error["message"]) == (
        True,
        "not_found",
        "NOT_FOUND: model 'nobody': expected one that this server has; 'serinus models list' shows them",
    )


async def test_a_second_server_on_the_port_is_refused(server: ChildServer, tmp_path: Path):
    """In silence, two servers would get a part of the calls each."""
    code, errors = await asyncio.to_thread(refused_start, tmp_path, port=server.grpc_port)
    sentence = f"error: cannot listen for gRPC on 127.0.0.1:{server.grpc_port}: is another server using the port?\n"
    assert (code, errors) == (1, sentence)
