"""Two workers are one server to whoever looks from outside."""

import asyncio
import json
import socket
import urllib.request
from pathlib import Path

import grpc.aio
import pytest

from serinus_client import AsyncClient
from tests.end_to_end.workers.conftest import PASSWORD
from tests.end_to_end.workers.load import INPUTS
from tests.end_to_end.workers.supervised import Supervised, refused_start

STREAM = "/serinus.v1.PredictService/PredictStream"


async def answering(target: str) -> str:
    """Which worker a new connection meets."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        stream = channel.stream_stream(STREAM)()
        facts = dict(await stream.initial_metadata())
        await stream.done_writing()
        return str(facts["x-serinus-worker"])


async def test_connections_are_spread_over_both_workers(pair: Supervised) -> None:
    """The kernel decides; of 40 connections not all meet the same one."""
    met = await asyncio.gather(*(answering(pair.target) for _ in range(40)))
    assert set(met) == {"1/2", "2/2"}


async def test_the_announcement_names_the_supervisor_and_its_workers(pair: Supervised) -> None:
    """A script that started the server sends its signals to the supervisor."""
    assert pair.ready["pid"] == pair.process.pid
    assert pair.ready["models"] == [{"model": "tab", "version": "1.0.0"}]
    assert [worker["index"] for worker in pair.ready["workers"]] == [1, 2]
    assert len({pair.process.pid, *(worker["pid"] for worker in pair.ready["workers"])}) == 3


async def test_probes_are_answered_for_all_workers(pair: Supervised) -> None:
    """One address, whatever the number of processes."""
    text = await asyncio.to_thread(fetch, pair, "/readyz")
    answer = json.loads(text)
    assert (answer["ready"], answer["serving"], answer["registry"]) == (True, 1, "followed")
    assert [(worker["index"], worker["state"]) for worker in answer["workers"]] == [(1, "ready"), (2, "ready")]
    async with AsyncClient(pair.target) as client:
        await client.predict("tab", INPUTS)
    assert 'model="tab"' in await asyncio.to_thread(fetch, pair, "/metrics")


def fetch(server: Supervised, path: str) -> str:
    with urllib.request.urlopen(f"http://{server.ready['http']}{path}", timeout=10) as answer:
        return answer.read().decode()


def test_no_secret_is_on_a_command_line_or_in_an_environment(pair: Supervised) -> None:
    """Anybody can read the one, and the same user the other."""
    for pid in (pair.process.pid, *pair.workers().values()):
        for shown in ("cmdline", "environ"):
            assert PASSWORD not in Path(f"/proc/{pid}/{shown}").read_text()


def test_the_supervisor_is_light(pair: Supervised) -> None:
    """It holds no model, no array library, no gRPC, and nothing of what read its settings."""
    loaded = Path(f"/proc/{pair.process.pid}/maps").read_text()
    assert [name for name in ("onnxruntime", "cygrpc", "numpy", "pydantic") if name in loaded] == []


@pytest.mark.parametrize("reuse_port", [False, True])
def test_a_port_that_somebody_has_stops_the_start(models_folder: Path, *, reuse_port: bool) -> None:
    """Even where that somebody would share it; the sentence names the address."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=reuse_port) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = refused_start(models_folder, 2, f"--grpc={address}", "--model=tab=tab.onnx")
    assert ended == (1, "", [f"error: cannot listen for gRPC on {address}: is another server using the port?"])


def test_a_model_that_cannot_be_served_stops_the_start(models_folder: Path) -> None:
    """In the worker's words, once, whichever worker was first to know."""
    code, out, (sentence,) = refused_start(models_folder, 2, "--model=bad=bad.onnx")
    assert (code, out) == (1, "")
    assert sentence.startswith("error: model 'bad': the model file 'bad.onnx' of 4 bytes")
