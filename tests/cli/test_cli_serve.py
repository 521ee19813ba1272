"""`serinus serve` as a process: how it starts, and how each signal ends it."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys

import grpc
import numpy as np
import pytest

from open_inference import grpc_service_pb2 as oip
from serinus.cli.serving import refusals
from serinus.cli.signals import StopSignals
from serinus_client import AsyncClient, SerinusError
from tests.cli.server_process import ServerProcess
from tests.support import models

TRIPS_OF_A_SECOND = 400_000
TRIPS_WITHOUT_END = 2**40


@contextlib.asynccontextmanager
async def call_in_flight(target: str, trips: int):
    """A call that runs for so long; it is inside the model when the block begins."""
    inputs = {"x": np.ones((1, 128), np.float32), "trips": np.array(trips, np.int64)}
    async with AsyncClient(target, timeout_s=60) as client, AsyncClient(target) as other:
        call = asyncio.create_task(client.predict("loop", inputs))
        while (await other.admin.server_status()).bytes_in_flight == 0:
            pass
        yield call
        call.cancel()
        await asyncio.wait({call})


def test_ports_and_models_are_announced_in_json(server):
    """A script with port 0 finds the server by them."""
    ready = server.ready
    assert ready["grpc"] == f"127.0.0.1:{ready['grpc_port']}"
    assert ready["http"] == f"127.0.0.1:{ready['http_port']}"
    assert ready["pid"] == server.process.pid
    assert ready["models"] == [{"model": name, "version": "1.0.0"} for name in ("sick", "spare", "tab", "text", "two")]
    with socket.create_connection(("127.0.0.1", ready["http_port"])):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_call_in_flight_is_answered_before_the_server_goes(model_folder, number):
    """Exit code 0, and nothing lost."""
    with ServerProcess(["--model=loop=counted_loop.onnx"], model_folder) as server:
        async with call_in_flight(server.target, TRIPS_OF_A_SECOND) as call:
            server.process.send_signal(number)
            outputs = await call
        assert await asyncio.to_thread(server.process.wait) == 0
    np.testing.assert_array_equal(outputs["y"], np.ones((1, 128), np.float32))


async def test_a_second_signal_ends_the_server_at_once(model_folder):
    """Whatever is in flight; the exit code is the shell's for that signal."""
    with ServerProcess(["--model=loop=counted_loop.onnx"], model_folder) as server:
        async with call_in_flight(server.target, TRIPS_WITHOUT_END) as call:
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(server.wait_for_event, "draining")
            server.process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(server.process.wait) == 128 + signal.SIGINT
            with pytest.raises(SerinusError):
                await call


async def test_a_run_without_end_does_not_keep_the_server(model_folder):
    """Its caller has left; the server waits a moment for the run, then goes without it."""
    with ServerProcess(["--model=loop=counted_loop.onnx"], model_folder) as server:
        async with call_in_flight(server.target, TRIPS_WITHOUT_END) as call:
            call.cancel()
            await asyncio.wait({call})
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.process.wait, 30) == 0


def test_a_load_without_end_does_not_keep_the_server(tmp_path):
    """A model whose warm-up never returns: the first signal ends the start."""
    (tmp_path / "ever.onnx").write_bytes(models.slow(2**40))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        target = f"127.0.0.1:{taken.getsockname()[1]}"
    command = [sys.executable, "-m", "serinus", "serve", "--workers=0", "--model=ever=ever.onnx", f"--grpc={target}"]
    with (
        subprocess.Popen([*command, "--http=127.0.0.1:0"], cwd=tmp_path, stderr=subprocess.DEVNULL) as process,
        grpc.insecure_channel(target) as channel,
    ):
        index = channel.unary_unary("/inference.GRPCInferenceService/RepositoryIndex")
        answer = oip.RepositoryIndexResponse.FromString(index(b"", wait_for_ready=True, timeout=30))
        assert [model.state for model in answer.models] == ["LOADING"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


async def test_a_hang_up_is_noted_and_survived(model_folder):
    """A terminal that closes takes no server with it."""
    with ServerProcess(["--model=tab=tabular.onnx"], model_folder) as server:
        server.process.send_signal(signal.SIGHUP)
        noted = await asyncio.to_thread(server.wait_for_event, "signal ignored")
        assert noted["signal"] == "SIGHUP"
        async with AsyncClient(server.target) as client:
            assert (await client.admin.server_status()).ready
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.process.wait) == 0


async def test_signals_ask_first_and_order_then():
    """The second may be another one than the first."""
    stopped, ended = asyncio.Event(), asyncio.Event()
    codes = []

    def end_process(code: int) -> None:
        codes.append(code)
        ended.set()

    with StopSignals(stopped.set, end_process=end_process) as signals:
        assert not signals.is_stopping
        signal.raise_signal(signal.SIGINT)
        await stopped.wait()
        assert (signals.is_stopping, codes) == (True, [])
        signal.raise_signal(signal.SIGTERM)
        await ended.wait()
    assert codes == [143]


START = ["serve", "--workers", "0", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]


def _sentences(err: str) -> list[str]:
    """Standard error without the log."""
    return [line for line in err.splitlines() if not line.startswith("{")]


def test_a_broken_model_on_the_command_line_stops_the_start(serinus, tmp_path):
    """Named is meant."""
    (tmp_path / "bad.onnx").write_bytes(b"junk")
    ended = serinus(*START, "--state", tmp_path, "--model", f"bad={tmp_path / 'bad.onnx'}")
    (sentence,) = _sentences(ended.err)
    assert (ended.code, ended.out) == (1, "")
    assert sentence.startswith("error: model 'bad': the model file 'bad.onnx' of 4 bytes")


def test_a_broken_model_in_a_repository_stops_nothing(model_folder, tmp_path):
    """The server serves the others, and says what is wrong with this one."""
    for name, content in (("good", (model_folder / "tabular.onnx").read_bytes()), ("bad", b"junk")):
        (tmp_path / "repository" / name / "1").mkdir(parents=True)
        (tmp_path / "repository" / name / "1" / "model.onnx").write_bytes(content)
    with ServerProcess(["--model-repository", str(tmp_path / "repository")], tmp_path) as server:
        assert server.ready["models"] == [{"model": "good", "version": "1.0.0"}]


@pytest.mark.parametrize("face", ["grpc", "http"])
def test_a_port_that_is_taken_stops_the_start(serinus, tmp_path, face):
    """The sentence names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = serinus(*START, f"--{face}", address, "--state", tmp_path)
    (sentence,) = _sentences(ended.err)
    assert (ended.code, ended.out) == (1, "")
    assert address in sentence


def test_a_provider_that_is_missing_stops_the_start(serinus, tmp_path):
    """Never a silent fallback."""
    ended = serinus(*START, "--provider", "cuda", "--state", tmp_path)
    (sentence,) = _sentences(ended.err)
    assert (ended.code, ended.out) == (1, "")
    assert sentence.startswith("error: the provider 'CUDAExecutionProvider' is not available")


def test_what_is_no_refusal_passes():
    """A bug is not dressed up as one."""
    with pytest.raises(ExceptionGroup), refusals():
        raise ExceptionGroup("several", [ValueError("a bug")])
