"""The server as a whole: what keeps it from starting, what it takes down again, and how it goes away."""

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serinus.app.server import StartRefused
from serinus.config.model_flags import parse_model_flag
from serinus.telemetry.loop_stalls import THREAD
from serinus_api.v1 import predict_pb2 as pb
from serinus_client import AsyncClient
from tests.app.conftest import Running, Written
from tests.support import models
from tests.support.fakes import settle
from tests.transport.framing import frame

NO_PAIR = "grpc.tls_cert and grpc.tls_key: expected a PEM certificate chain and its own private key without a password"
TLS = Path(__file__).parent.parent / "client" / "tls"


@pytest.fixture
def tabular(tmp_path: Path) -> list[Any]:
    """What --model says for one good model."""
    (tmp_path / "tabular.onnx").write_bytes(models.tabular())
    return [parse_model_flag("tabular=tabular.onnx", cwd=tmp_path)]


@contextlib.contextmanager
def taken_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def is_free(port: int) -> bool:
    """Whether nobody listens on the port."""
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) != 0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


async def refusal(running: Running, **settings: Any) -> str:
    """The sentence with which a start is refused; afterwards nothing is left of it."""
    before = asyncio.all_tasks()
    collects_after, frozen = gc.get_threshold(), gc.get_freeze_count()
    with pytest.raises(StartRefused) as refused:
        async with running(**settings):
            pass
    assert asyncio.all_tasks() - before == set()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (collects_after, frozen)
    return str(refused.value)


async def test_a_named_model_that_is_damaged_keeps_the_server_from_starting(
    running: Running, tmp_path: Path, tabular: list[Any]
):
    """Both ports are free again, and the good model before it is closed."""
    (tmp_path / "bad.onnx").write_bytes(b"this is no model")
    ports = free_port(), free_port()
    named = [*tabular, parse_model_flag("bad=bad.onnx", cwd=tmp_path)]
    sentence = await refusal(
        running, models=named, grpc__host_port=f"127.0.0.1:{ports[0]}", http__host_port=f"127.0.0.1:{ports[1]}"
    )
    assert sentence == "model 'bad': the model file 'bad.onnx' of 16 bytes is not an ONNX model, or is damaged"
    assert (is_free(ports[0]), is_free(ports[1])) == (True, True)


async def test_a_named_model_that_is_gone_keeps_the_server_from_starting(
    running: Running, tmp_path: Path, tabular: list[Any]
):
    """Although it was there when the command line was read."""
    (tmp_path / "tabular.onnx").unlink()
    assert await refusal(running, models=tabular) == "model 'tabular': there is no model file 'tabular.onnx'"


async def test_a_taken_grpc_port_keeps_the_server_from_starting(running: Running):
    """HTTP, which was up by then, is down again."""
    http = free_port()
    with taken_port() as port:
        sentence = await refusal(running, grpc__host_port=f"127.0.0.1:{port}", http__host_port=f"127.0.0.1:{http}")
    assert sentence == f"cannot listen for gRPC on 127.0.0.1:{port}: is another server using the port?"
    assert is_free(http)


async def test_a_taken_http_port_keeps_the_server_from_starting(running: Running):
    """The gRPC port is not held either, whoever still holds the error."""
    grpc_port = free_port()
    with taken_port() as port:
        sentence = await refusal(running, http__host_port=f"127.0.0.1:{port}", grpc__host_port=f"127.0.0.1:{grpc_port}")
        assert is_free(grpc_port)
    assert sentence == f"cannot listen for HTTP on 127.0.0.1:{port}: another process listens there"


async def test_a_missing_provider_keeps_the_server_from_starting(running: Running):
    """It never falls back in silence."""
    sentence = await refusal(running, compute__providers=["cuda"])
    assert sentence.startswith("the provider 'CUDAExecutionProvider' is not available: this onnxruntime has ")


async def test_a_repository_that_cannot_be_read_keeps_the_server_from_starting(running: Running, tmp_path: Path):
    """A server without its models is a mistake of whoever starts it."""
    sentence = await refusal(running, model_repository=str(tmp_path / "nowhere"))
    assert sentence == f"model_repository: '{tmp_path}/nowhere' cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("certificate", "key", "authority", "sentence"),
    [
        ("none.pem", "server.key", None, "grpc.tls_cert: '{}/none.pem' cannot be read: No such file or directory"),
        ("server.pem", "none.key", None, "grpc.tls_key: '{}/none.key' cannot be read: No such file or directory"),
        (
            "server.pem",
            "server.key",
            "none.pem",
            "grpc.tls_client_ca: '{}/none.pem' cannot be read: No such file or directory",
        ),
        ("server.pem", "server.key", "server.key", "grpc.tls_client_ca: expected PEM certificates"),
        *(
            (
                certificate,
                key,
                None,
                NO_PAIR,
            )
            for certificate, key in [("server.key", "server.key"), ("server.pem", "server.pem")]
        ),
    ],
)
async def test_tls_files_that_are_none_keep_the_server_from_starting(
    running: Running, certificate: str, key: str, authority: str | None, sentence: str
):
    """The sentence names the setting; gRPC itself would only say that the port is taken."""
    settings = {"grpc__tls_cert": str(TLS / certificate), "grpc__tls_key": str(TLS / key)}
    if authority is not None:
        settings["grpc__tls_client_ca"] = str(TLS / authority)
    assert await refusal(running, **settings) == sentence.format(TLS)


async def test_an_error_of_the_block_leaves_it_as_it_is(running: Running, tabular: list[Any]):
    """Not in a group of errors; the server is gone."""

    async def failing() -> None:
        async with running(models=tabular):
            raise ZeroDivisionError("of the block")

    with pytest.raises(ZeroDivisionError, match="of the block"):
        await failing()


async def test_a_bad_model_of_the_repository_is_no_reason_not_to_start(
    running: Running, tmp_path: Path, tabular: list[Any], written: Written
):
    """The others serve; the index and the log have the reasons, and one that was named is not taken for it."""
    for name, content in [("good", models.identity()), ("bad", b"no model"), ("tabular", b"no model")]:
        (tmp_path / "repository" / name / "1").mkdir(parents=True)
        (tmp_path / "repository" / name / "1" / "model.onnx").write_bytes(content)
    for name in ("unreadable", "tabular"):
        (tmp_path / "repository" / name).mkdir(exist_ok=True)
        (tmp_path / "repository" / name / "config.pbtxt").write_text("no configuration")
    async with running(models=tabular, model_repository=str(tmp_path / "repository")) as server:
        index = {str(status.identity): (str(status.state), status.reason) for status in server.models.index()}
        assert index == {
            "bad@1.0.0": (
                "UNAVAILABLE",
                "the model file 'model.onnx' of 8 bytes is not an ONNX model, or is damaged",
            ),
            "good@1.0.0": ("READY", ""),
            "tabular@1.0.0": ("READY", ""),
            "unreadable@0.0.0": ("UNAVAILABLE", index["unreadable@0.0.0"][1]),
        }
        assert index["unreadable@0.0.0"][1].startswith("config.pbtxt cannot be parsed: ")
    assert [event["model"] for event in written.events if event["event"] == "model rejected"] == ["unreadable"]


async def test_everything_answers_while_the_server_runs(running: Running, tabular: list[Any]):
    """gRPC, the probes and the metrics, under the eyes of who watches the loop; and nothing does afterwards."""
    async with running(models=tabular) as server:
        async with AsyncClient(f"127.0.0.1:{server.grpc_port}") as client:
            answer = await client.predict("tabular", {"x": np.ones((2, 8), np.float32)})
        weights, bias = models.tabular_weights()
        np.testing.assert_allclose(answer["y"], np.ones((2, 8), np.float32) @ weights + bias, rtol=1e-6)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}", trust_env=False) as http:
            detail = (await http.get("/readyz")).json()
            assert detail == {"ready": True, "serving": 1, "registry": "followed", "revision": 0}
            assert 'model="tabular"' in (await http.get("/metrics")).text
        assert THREAD in {thread.name for thread in threading.enumerate()}
        ports = server.grpc_port, server.http_port
    assert (is_free(ports[0]), is_free(ports[1])) == (True, True)


@contextlib.asynccontextmanager
async def channel(port: int) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as made:
        yield made


def slow_call() -> bytes:
    """A call that takes about half a second."""
    tensors = [
        pb.Tensor(name="x", dtype=pb.DATA_TYPE_FP32, shape=[1, 128], data=bytes(512)),
        pb.Tensor(name="trips", dtype=pb.DATA_TYPE_INT64, data=(100_000).to_bytes(8, "little")),
    ]
    return pb.PredictRequest(model="loop", inputs=tensors, request_id="slow").SerializeToString()


async def test_a_server_that_goes_away_says_so_first_and_answers_what_is_inside(running: Running, tmp_path: Path):
    """Readiness, health, then the calls in flight, then the ports; a stream that would go on ends well."""
    (tmp_path / "loop.onnx").write_bytes(models.counted_loop())
    named = [parse_model_flag("loop=loop.onnx", cwd=tmp_path)]
    async with (
        running(models=named, drain__notice_s=0, drain__grace_s=30) as server,
        channel(server.grpc_port) as caller,
    ):
        health = health_pb2_grpc.HealthStub(caller)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stream = caller.stream_stream("/serinus.v1.PredictService/PredictStream")()
        await stream.write(frame(1, request=pb.PredictRequest.FromString(slow_call())))
        unary = caller.unary_unary("/serinus.v1.PredictService/Predict")(slow_call(), timeout=60)
        (servable,) = server.models.serving()
        async with asyncio.timeout(60):
            while not (servable.metrics.queue_calls or unary.done()):  # one runs, the other waits for its turn
                await settle()
            draining = asyncio.create_task(server.drain())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}", trust_env=False) as http:
                assert (await http.get("/readyz")).status_code == 503
                assert (await http.get("/livez")).status_code == 200
            replies = pb.ReplyFrame.FromString(await stream.read()).replies
            assert [reply.WhichOneof("outcome") for reply in replies] == ["response"]
            assert pb.PredictResponse.FromString(await unary).request_id == "slow"
            assert await stream.read() is grpc.aio.EOF
            assert await stream.code() is grpc.StatusCode.OK
            await draining
        assert is_free(server.grpc_port)
        assert not is_free(server.http_port)
