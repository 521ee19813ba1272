"""SIGTERM with calls in flight on every way into the server: it answers them all, ends its streams and exits 0."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from open_inference import grpc_service_pb2 as oip
from serinus_client import NO_RETRIES, AsyncClient, SerinusError, Transport
from tests.end_to_end.clients.calls import busy, sent
from tests.end_to_end.clients.process import ChildServer, child_server
from tests.support import models

TRIPS = 50_000  # of a call that is in flight: about a tenth of a second
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


GRACE_S = 30  # of which calls in flight need a second, on a machine whose cores are all busy a few


@pytest.fixture
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ChildServer]:
    """A server that the test may end; it gives notice for as many seconds as the test's parameter says, or for none."""
    (tmp_path / "slow.onnx").write_bytes(models.counted_loop())
    drain = f"notice_s = {getattr(request, 'param', 0)}\ngrace_s = {GRACE_S}"
    with child_server(tmp_path, '\n[models.slow]\npath = "slow.onnx"\n', drain=drain) as server:
        yield server


def inputs(trips: int) -> dict[str, np.ndarray]:
    return {"x": np.ones((1, 128), np.float32), "trips": np.array(trips, np.int64)}


def oip_call(number: int, trips: int) -> bytes:
    request = oip.ModelInferRequest(model_name="slow", id=str(number))
    for name, array, datatype in (("x", inputs(trips)["x"], "FP32"), ("trips", inputs(trips)["trips"], "INT64")):
        request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    return request.SerializeToString()


def seconds_of_draining(server: ChildServer) -> float:
    """From the one log line to the other."""
    times = {str(event["event"]): str(event["time"]) for event in server.events()}
    begun, ended = (np.datetime64(times[event].rstrip("Z")) for event in ("draining", "drained"))
    return float((ended - begun) / np.timedelta64(1, "s"))


async def test_no_call_in_flight_fails_and_the_streams_end_cleanly(own: ChildServer) -> None:
    """Unary and streamed, over both protocols; the streams are open and stay so until the server ends them."""
    async with (
        triton_aio.InferenceServerClient(own.target) as triton,
        grpc.aio.insecure_channel(own.target) as channel,
        AsyncClient(own.target) as framed,
        AsyncClient(own.target, transport=Transport.UNARY) as single,
    ):
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
        await stream.write(oip_call(0, 1))
        await stream.read()
        for number in range(1, 4):
            await stream.write(oip_call(number, TRIPS))
        calls = [asyncio.create_task(client.predict("slow", inputs(TRIPS))) for client in [framed, single] * 3]
        for client in (framed, single):  # what they sent before has arrived
            await client.model_info("slow")
        calls += [await sent(triton, model_name="slow", inputs=busy(TRIPS)) for _ in range(3)]

        own.terminate()

        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [end for end in ends if isinstance(end, BaseException)] == []
        answers = [oip.ModelStreamInferResponse.FromString(await stream.read()) for _ in range(3)]
        assert [(each.infer_response.id, each.error_message) for each in answers] == [("1", ""), ("2", ""), ("3", "")]
        assert (await stream.read(), await stream.code()) == (grpc.aio.EOF, grpc.StatusCode.OK)
        assert await asyncio.to_thread(own.wait) == 0


@pytest.mark.parametrize("own", [1], indirect=True)
async def test_whoever_watches_is_told_before_the_port_closes_and_calls_are_still_answered(own: ChildServer) -> None:
    """Load balancers need the notice: `Watch` and `Check` say so, readiness is gone, and a call is answered."""
    async with (
        grpc.aio.insecure_channel(own.target) as channel,
        triton_aio.InferenceServerClient(own.target) as triton,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        services = ["", "inference.GRPCInferenceService", "serinus.v1.PredictService"]
        watches = [health.Watch(health_pb2.HealthCheckRequest(service=service)) for service in services]
        before = [(await watch.read()).status for watch in watches]

        own.terminate()

        after = [(await watch.read()).status for watch in watches]
        checked = (await health.Check(health_pb2.HealthCheckRequest())).status
        assert (before, after, checked) == ([SERVING] * 3, [NOT_SERVING] * 3, NOT_SERVING)
        assert (await triton.is_server_live(), await triton.is_server_ready()) == (True, False)
        assert (await triton.infer("slow", busy(1))).as_numpy("y").shape == (1, 128)
        for watch in watches:
            watch.cancel()
        assert await asyncio.to_thread(own.wait) == 0


async def test_callers_that_never_pause_lose_nothing_they_had_begun(own: ChildServer) -> None:
    """Unary and framed callers in closed loops: what began before SIGTERM is answered."""
    terminated_at = float("inf")
    lost: list[tuple[str, BaseException]] = []
    answered = dict.fromkeys(("triton", "single", "framed"), 0)
    async with (
        triton_aio.InferenceServerClient(own.target) as triton,
        AsyncClient(own.target, retry=NO_RETRIES) as framed,
        AsyncClient(own.target, transport=Transport.UNARY, retry=NO_RETRIES) as single,
    ):
        calls = {
            "triton": lambda: triton.infer("slow", busy(1)),
            "single": lambda: single.predict("slow", inputs(1)),
            "framed": lambda: framed.predict("slow", inputs(1)),
        }
        warm = asyncio.Event()

        async def caller(name: str) -> None:
            began = 0.0
            try:
                while True:
                    began = time.monotonic()
                    await calls[name]()
                    answered[name] += 1
                    if min(answered.values()) > 100:
                        warm.set()
            except (SerinusError, triton_aio.InferenceServerException) as error:
                if began < terminated_at:
                    lost.append((name, error))

        callers = [asyncio.create_task(caller(name)) for name in answered for _ in range(8)]
        await warm.wait()
        terminated_at = time.monotonic()
        own.terminate()
        await asyncio.wait(callers)
        assert lost == []
        assert await asyncio.to_thread(own.wait) == 0


async def test_idle_streams_do_not_hold_up_the_end(own: ChildServer) -> None:
    """Connected clients of both protocols that ask nothing: their streams end with OK before the grace does."""
    async with grpc.aio.insecure_channel(own.target) as channel:
        streams = [
            channel.stream_stream(f"/{method}")()
            for method in ("inference.GRPCInferenceService/ModelStreamInfer", "serinus.v1.PredictService/PredictStream")
        ]
        await streams[0].write(oip_call(0, 1))
        await streams[0].read()

        own.terminate()

        ends = [(await stream.read(), await stream.code()) for stream in streams]
        assert ends == [(grpc.aio.EOF, grpc.StatusCode.OK)] * 2
        assert await asyncio.to_thread(own.wait) == 0
    assert seconds_of_draining(own) < GRACE_S


async def test_an_open_watch_does_not_hold_up_the_end(own: ChildServer) -> None:
    """Clients that balance by health keep one open for ever."""
    async with grpc.aio.insecure_channel(own.target) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        first = (await watch.read()).status
        own.terminate()
        assert (first, (await watch.read()).status) == (SERVING, NOT_SERVING)
        assert await asyncio.to_thread(own.wait) == 0
    assert seconds_of_draining(own) < GRACE_S


async def test_a_watcher_that_leaves_does_not_make_the_others_deaf(own: ChildServer) -> None:
    """Two clients watch the same service, one goes, the other must still be told."""
    async with grpc.aio.insecure_channel(own.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
        before = [(await watch.read()).status for watch in watches]
        watches[0].cancel()
        for _ in range(3):  # the server has learned of it by then
            await health.Check(health_pb2.HealthCheckRequest())
        own.terminate()
        try:
            told = (await watches[1].read()).status
        except grpc.aio.AioRpcError as error:
            told = error.code()
        assert (before, told) == ([SERVING] * 2, NOT_SERVING)
