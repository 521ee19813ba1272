"""Two workers with a registry: whichever a client meets says and does what all do."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import grpc.aio
import numpy as np
import pytest

from open_inference import grpc_service_pb2 as oip
from serinus.runtime.sabotage import Fault, sabotaged
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import NO_RETRIES, AsyncClient, Transport
from tests.end_to_end.registry.places import times
from tests.end_to_end.rollouts.callers import Question, calling
from tests.end_to_end.rollouts.stages import QUICK, canary, ended, plan
from tests.end_to_end.rollouts.versions import BAD, GOOD, question
from tests.end_to_end.workers.supervised import Supervised, supervised
from tests.support.running_clock import running_clock

OIP = "/inference.GRPCInferenceService/"
CONFIG = f"{QUICK}breaker_failures = 3\nbreaker_open_s = 3600\n"
X = np.array([[GOOD, 0]], np.float32)
ODD = np.array([[BAD, 0]], np.float32)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """A server of two workers on which rollouts go fast."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "serinus.toml").write_text(CONFIG)
    with supervised(folder, 2, "--config=serinus.toml") as server:
        yield server


@contextlib.asynccontextmanager
async def one_of_each(server: Supervised) -> AsyncIterator[Sequence[grpc.aio.Channel]]:
    """A connection to each worker, in their order."""
    found: dict[str, grpc.aio.Channel] = {}
    async with contextlib.AsyncExitStack() as block:
        while len(found) < 2:
            options = (("grpc.use_local_subchannel_pool", 1),)
            channel = await block.enter_async_context(grpc.aio.insecure_channel(server.target, options=options))
            stream = channel.stream_stream("/serinus.v1.PredictService/PredictStream")()
            met = dict(await stream.initial_metadata())["x-serinus-worker"]
            await stream.done_writing()
            found.setdefault(str(met), channel)
        yield [found["1/2"], found["2/2"]]


async def asked(channel: grpc.aio.Channel, method: str, message: bytes = b"", timeout_s: float = 10.0) -> bytes:
    return await channel.unary_unary(method)(message, timeout=timeout_s)


async def infer(channel: grpc.aio.Channel, model: str, x: np.ndarray = X) -> None:
    """A call, by Triton's protocol."""
    tensor = oip.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 2])
    call = oip.ModelInferRequest(model_name=model, inputs=[tensor], raw_input_contents=[x.tobytes()])
    await asked(channel, OIP + "ModelInfer", call.SerializeToString())


async def register(client: AsyncClient, folder: Path, model: str, version: str, content: bytes) -> None:
    file = folder / f"{model}-{version}.onnx"
    file.write_bytes(content)
    await client.registry.register(model, file, version)


async def test_what_one_was_told_to_load_all_serve_when_it_answers(two: Supervised, tmp_path: Path) -> None:
    """And none does once it was told to unload it: a client's next call may meet any."""
    async with AsyncClient(two.target) as client, one_of_each(two) as channels:
        await register(client, tmp_path, "loaded", "1.0.0", times(2))
        for _ in range(3):
            await client.admin.load_model("loaded")
            await asyncio.gather(*(infer(channel, "loaded") for channel in channels))
            await client.admin.unload_model("loaded")
            for channel in channels:
                with pytest.raises(grpc.aio.AioRpcError):
                    await infer(channel, "loaded")


async def test_counts_costs_and_states_are_those_of_all(two: Supervised, tmp_path: Path) -> None:
    """perf_analyzer subtracts what it read before: no count may depend on who is asked."""
    async with AsyncClient(two.target) as client, one_of_each(two) as channels:
        await register(client, tmp_path, "counted", "1.0.0", times(2))
        await client.admin.load_model("counted")
        for channel, calls in zip(channels, (5, 8), strict=True):
            for _ in range(calls):
                await infer(channel, "counted")
        statistics = oip.ModelStatisticsRequest(name="counted").SerializeToString()
        costs = pb.ListLearnedCostsRequest(model="counted").SerializeToString()
        for method, message in (
            (OIP + "ModelStatistics", statistics),
            (OIP + "RepositoryIndex", b""),
            ("/serinus.v1.AdminService/ListLearnedCosts", costs),
        ):
            one, other = [await asked(channel, method, message) for channel in channels]
            if method.endswith("ModelStatistics"):
                said = oip.ModelStatisticsResponse.FromString(one).model_stats[0]
                assert (said.inference_count, said.inference_stats.success.count) == (13, 13)
                assert oip.ModelStatisticsResponse.FromString(other).model_stats[0] == said
            elif method.endswith("RepositoryIndex"):
                index = oip.RepositoryIndexResponse.FromString(one).models
                assert ("counted", "READY") in [(model.name, model.state) for model in index]
            else:
                assert pb.ListLearnedCostsResponse.FromString(one) == pb.ListLearnedCostsResponse.FromString(other)


async def test_no_count_falls_because_a_worker_dies(two: Supervised, tmp_path: Path) -> None:
    """What it was last heard to have counted is added to what its successor counts."""
    statistics = oip.ModelStatisticsRequest(name="outlived").SerializeToString()
    async with AsyncClient(two.target) as client, one_of_each(two) as channels:
        await register(client, tmp_path, "outlived", "1.0.0", times(2))
        await client.admin.load_model("outlived")
        for channel, calls in zip(channels, (5, 8), strict=True):
            for _ in range(calls):
                await infer(channel, "outlived")
        before = await asked(channels[0], OIP + "ModelStatistics", statistics)
    ready = two.count("worker ready")
    os.kill(two.workers()[2], signal.SIGKILL)
    await two.until("worker ready", ready + 1)
    async with one_of_each(two) as channels:
        after = [await asked(channel, OIP + "ModelStatistics", statistics) for channel in channels]
        await infer(channels[1], "outlived")
        more = await asked(channels[0], OIP + "ModelStatistics", statistics)
    [known], *found = (oip.ModelStatisticsResponse.FromString(said).model_stats for said in (before, *after, more))
    assert known.inference_count == 13
    for [model] in found[:2]:
        model.last_inference = known.last_inference
        assert model == known
    assert found[2][0].inference_count == 14


async def test_all_log_what_one_was_told_to(two: Supervised) -> None:
    """Also the one that takes the place of another later."""
    settings = oip.LogSettingsRequest()
    settings.settings["log_verbose_level"].uint32_param = 1
    async with one_of_each(two) as channels:
        await asked(channels[0], OIP + "LogSettings", settings.SerializeToString())
        assert [await verbosity(channel) for channel in channels] == [1, 1]
        ready = two.count("worker ready")
        os.kill(two.workers()[2], signal.SIGKILL)
        await two.until("worker ready", ready + 1)
    async with one_of_each(two) as channels:
        assert [await verbosity(channel) for channel in channels] == [1, 1]
        settings.settings["log_verbose_level"].uint32_param = 0
        await asked(channels[1], OIP + "LogSettings", settings.SerializeToString())
        assert [await verbosity(channel) for channel in channels] == [0, 0]


async def verbosity(channel: grpc.aio.Channel) -> int:
    answer = oip.LogSettingsResponse.FromString(await asked(channel, OIP + "LogSettings"))
    return answer.settings["log_verbose_level"].uint32_param


async def test_a_worker_that_hangs_holds_up_no_answer(two: Supervised) -> None:
    """The first waits for it for half a second; those that follow do not."""
    async with one_of_each(two) as channels:
        await asked(channels[0], OIP + "RepositoryIndex")
        os.kill(two.workers()[2], signal.SIGSTOP)
        try:
            took_s = []
            clock = running_clock()
            for _ in range(4):
                began = clock.now()
                await asked(channels[0], OIP + "RepositoryIndex")
                took_s.append(clock.now() - began)
        finally:
            os.kill(two.workers()[2], signal.SIGCONT)
    assert took_s[0] < 2
    assert max(took_s[1:]) < 0.4


async def test_a_rollout_goes_through_and_what_shadows_answered_is_shown_by_any(
    two: Supervised, tmp_path: Path
) -> None:
    """Copies are made where the calls are: the examples of both workers are one list."""
    stages = [{"shadow": {"percent": 100, "min_pairs": 20, "min_s": 0.2}}, *canary(50, 100)]
    guardrails = {"disagreement": {"limit": 0.9}}
    async with contextlib.AsyncExitStack() as block:
        clients = [
            await block.enter_async_context(AsyncClient(two.target, retry=NO_RETRIES, transport=Transport.UNARY))
            for _ in range(6)
        ]
        client = clients[0]
        await register(client, tmp_path, "m", "1.0.0", times(2))
        await register(client, tmp_path, "m", "1.1.0", sabotaged(tmp_path / "m-1.0.0.onnx", Fault.DIFFERS, percent=10))
        await client.admin.load_model("m")
        twice = 2 * ODD
        odd = Question({"x": ODD}, {"1.0.0": {"y": twice}, "1.1.0": {"y": twice[:, ::-1]}})
        questions = [question(GOOD, v1_0_0=2, v1_1_0=2)] * 4 + [odd]
        calls = [
            await block.enter_async_context(calling(each, "m", questions, callers=2, pause_s=0.01)) for each in clients
        ]
        rollout = await client.admin.start_rollout(plan("1.1.0", stages, guardrails=guardrails))
        last = await ended(client, rollout.id)
        assert last.status == pb.ROLLOUT_STATUS_SUCCEEDED, last
        async with one_of_each(two) as channels:
            message = pb.ListDisagreementsRequest(id=rollout.id).SerializeToString()

            async def said(channel: grpc.aio.Channel) -> list[str]:
                answer = await asked(channel, "/serinus.v1.AdminService/ListDisagreements", message)
                found = pb.ListDisagreementsResponse.FromString(answer).disagreements
                return sorted(each.sentence for each in found)

            async with asyncio.timeout(60):  # copies that were under way at the end are compared a moment later
                while not (of_one := await said(channels[0])) or of_one != await said(channels[1]):  # noqa: ASYNC110 - another process is asked
                    await asyncio.sleep(0.05)
    for tally in calls:
        tally.assert_untroubled()


async def test_a_breaker_is_shown_by_any_and_reset_at_all(two: Supervised, tmp_path: Path) -> None:
    """An operator who meets the other worker sees the one that is open."""
    async with AsyncClient(two.target) as client, one_of_each(two) as channels:
        await register(client, tmp_path, "spare", "1.0.0", times(9))
        (tmp_path / "honest.onnx").write_bytes(times(2))
        await register(client, tmp_path, "broken", "1.0.0", sabotaged(tmp_path / "honest.onnx", Fault.ERRS, percent=10))
        await client.admin.load_model("spare")
        await client.admin.load_model("broken")
        await client.admin.set_fallback("broken", pb.Fallback(targets=[pb.FallbackTarget(model="spare")], budget=1))
        # One worker's opens: the other has seen no failure, and says so all the same.
        async with asyncio.timeout(60):
            while await breakers(channels[1]) != ["open"]:
                with contextlib.suppress(grpc.aio.AioRpcError):  # it has not heard of the fallback yet
                    await infer(channels[0], "broken", ODD)
        await client.admin.reset_breaker("broken")
        async with asyncio.timeout(60):
            while "open" in await breakers(channels[1]):  # noqa: ASYNC110 - another process is asked
                await asyncio.sleep(0.02)
        assert "open" not in await breakers(channels[0])


async def breakers(channel: grpc.aio.Channel) -> list[str]:
    message = pb.GetSplitRequest(model="broken").SerializeToString()
    answer = await asked(channel, "/serinus.v1.AdminService/GetSplit", message)
    return [breaker.state for breaker in pb.GetSplitResponse.FromString(answer).traffic.breakers]
