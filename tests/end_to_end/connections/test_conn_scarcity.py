"""A machine that has run out of something: calls are refused in words, and the server stays."""

import asyncio
import os
import resource
import signal
import subprocess
from pathlib import Path

import grpc
import numpy as np
import pytest
from onnx import helper

from open_inference import grpc_service_pb2 as oip
from serinus.core.dtypes import DType
from serinus_api.v1 import predict_pb2 as pb
from tests.end_to_end.connections.conftest import served, started
from tests.end_to_end.faults.messages import GOOD_PREDICT, PREDICT, predict, tensor
from tests.support import models
from tests.support.invariants import World, assert_refused
from tests.support.raw_http2 import Kind, RawConnection, many_connected

EXHAUSTED, INTERNAL, OK = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.OK
MIB, GIB = 1 << 20, 1 << 30
FILES = 64
STATUS = "/serinus.v1.AdminService/GetServerStatus"
LOAD = "/inference.GRPCInferenceService/RepositoryModelLoad"
HEALTH = "/grpc.health.v1.Health/Check"
STOPPED_S = 1.0


async def test_more_connections_than_files(home: Path):
    """Row 111: of 100 on a server with 64 files some are served and the rest turned away; then there is room again."""
    async with served(home, "", under=("prlimit", f"--nofile={FILES}")) as world:
        async with world.standing(), many_connected(world.server.grpc_port, 100) as connections:
            for connection in connections:
                await connection.greet()
            is_served = await asyncio.gather(*(_is_served(connection) for connection in connections))
            look = await world.server.look()  # which opens files
            assert 8 <= sum(is_served) < look.fds < FILES
        async with many_connected(world.server.grpc_port, 5) as connections:
            for connection in connections:
                await connection.greet()
            assert all(await asyncio.gather(*(_is_served(connection) for connection in connections)))


async def _is_served(connection: RawConnection) -> bool:
    """Whether the server has heard the greeting; otherwise it has ended the connection."""
    heard = asyncio.create_task(connection.until(Kind.SETTINGS, 2))
    over = asyncio.create_task(connection.ended())
    await asyncio.wait({heard, over}, return_when=asyncio.FIRST_COMPLETED)
    for task in (heard, over):
        task.cancel()
    return not connection.over.is_set()


@pytest.mark.parametrize(
    ("full", "refused"),
    [("1.0", {pb.CRITICALITY_SHEDDABLE}), ("0.0001", {pb.CRITICALITY_UNSPECIFIED, pb.CRITICALITY_SHEDDABLE})],
)
async def test_a_server_near_its_memory_limit(home: Path, full: str, refused: set[int]):
    """Row 111: sheddable calls first, then all of them, are to come back later; the server still says how it is."""
    async with started(home, f"[overload]\nmemory_high = 0.0001\nmemory_full = {full}\n") as world:
        for criticality in (pb.CRITICALITY_UNSPECIFIED, pb.CRITICALITY_SHEDDABLE):
            message = pb.PredictRequest.FromString(GOOD_PREDICT)
            message.criticality = criticality
            answer = await world.call(PREDICT, message.SerializeToString())
            if criticality in refused:
                assert_refused(answer, EXHAUSTED, "MEMORY_PRESSURE", "near its memory limit")
            else:
                assert answer.code is OK
        for method in (STATUS, HEALTH):
            assert (await world.call(method, b"", is_counted=False)).code is OK


# Of a user whom limits bind, which root is not, and who may read what root wrote.
SOMEBODY = ("setpriv", "--reuid=54321", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")


async def test_no_thread_more_than_there_are(home: Path):
    """Row 111: calls go on; what needs another thread is refused in words until there may be one again."""
    if subprocess.run([*SOMEBODY, "true"], check=False, capture_output=True).returncode:  # noqa: ASYNC221 - it is short
        pytest.skip("this user may not become another")
    load = oip.RepositoryModelLoadRequest(model_name="identity").SerializeToString()
    async with served(home, "", under=SOMEBODY) as world:
        pid = (await world.server.look()).pid
        async with world.standing():
            _let_threads_be(pid, 1)
            for answer in await asyncio.gather(*(world.call(LOAD, load, is_counted=False) for _ in range(4))):
                assert_refused(answer, EXHAUSTED, "OUT_OF_THREADS", "no further thread")
            for method in (STATUS, HEALTH):
                assert (await world.call(method, b"", is_counted=False)).code is OK
            async with many_connected(world.server.grpc_port, 5) as connections:
                for connection in connections:
                    await connection.greet()
                assert all(await asyncio.gather(*(_is_served(connection) for connection in connections)))
            _let_threads_be(pid, 4096)
            assert (await world.call(LOAD, load, is_counted=False)).code is OK


def _let_threads_be(pid: int, most: int) -> None:
    """Limit the threads of a process's user, by a process of its own: not even root may, of another user's."""
    subprocess.run([*SOMEBODY, "prlimit", f"--pid={pid}", f"--nproc={most}:"], check=True)


def _bomb() -> bytes:
    """`size` INT64 [1] -> most FP32 []: the largest of so many zeros, which come into memory."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["most"], keepdims=0),
    ]
    return models.build(nodes, [models.value("size", DType.INT64, [1])], [models.value("most", DType.FP32, [])])


async def test_a_model_that_wants_more_memory_than_there_is(home: Path):
    """Row 52: its call fails, whether the system or onnxruntime refuses; the process lives and serves the others."""
    async with served(home, "", more={"bomb": _bomb()}) as world, world.standing():
        pid = (await world.server.look()).pid
        _leave_memory(pid, GIB)
        for elements, reason in ((1 << 29, "OUT_OF_MEMORY"), (1 << 50, "OUT_OF_MEMORY"), (1 << 62, "MODEL_FAILED")):
            assert_refused(await world.call(PREDICT, _bombed(elements)), INTERNAL, reason)
            assert (await world.call(PREDICT, _bombed(1 << 10))).code is OK


def _bombed(elements: int) -> bytes:
    return predict("bomb", tensor("size", DType.INT64, (1,), np.array([elements], "<i8").tobytes()))


def _leave_memory(pid: int, size_bytes: int) -> None:
    """Let a process have so much more memory than it has, and none besides."""
    most = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize() + size_bytes
    resource.prlimit(pid, resource.RLIMIT_AS, (most, most))


async def test_large_calls_at_once(home: Path):
    """Row 53: those that memory is not meant for are refused before anything is joined; the others are answered."""
    rows = 28_000
    x = tensor(shape=(rows, 128), data=bytes(rows * 512))  # 13.7 MiB
    trips = tensor("trips", DType.INT64, (), np.array(20, "<i8").tobytes())
    message = predict("loop", x, trips)
    async with served(home, "[limits]\nmax_bytes_in_flight_mib = 32\n") as world:
        # Once without looking: what allocators keep of the largest calls, they keep once.
        await asyncio.gather(*(world.call(PREDICT, message) for _ in range(6)))
        async with world.standing():
            answers = await asyncio.gather(*(world.call(PREDICT, message) for _ in range(6)))
    refused = [answer for answer in answers if answer.code is not OK]
    for answer in refused:
        assert_refused(answer, EXHAUSTED, "BYTES_IN_FLIGHT", f"the limit is {32 * MIB}")
    assert 1 <= len(refused) <= 4, "two of them fit"


READ_ONLY = 'mkdir state && mount --bind state state && mount -o remount,bind,ro state && exec "$@"'
FULL = 'mkdir t && mount -t tmpfs -o size=4k tmpfs t && head -c 4096 /dev/zero >t/x && TMPDIR=$PWD/t exec "$@"'


@pytest.mark.parametrize("script", [READ_ONLY, FULL], ids=["read-only state", "full temporary folder"])
async def test_a_disk_that_takes_nothing(home: Path, script: str):
    """Row 111: models that were named on the command line are served all the same."""
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:  # noqa: ASYNC221 - it is short
        pytest.skip("this user may not mount")
    async with served(home, "", under=("unshare", "-m", "sh", "-c", script, "sh")) as world, world.standing():
        assert (await world.call(PREDICT, GOOD_PREDICT)).code is OK
        assert (await world.call(STATUS, b"", is_counted=False)).code is OK
    assert [event for event in world.server.log.read_text().splitlines() if "Traceback" in event] == []


async def test_a_server_that_was_stopped_for_a_second(world: World):
    """Row 54: the metric says for how long nothing happened; what came meanwhile is answered."""
    pid = (await world.server.look()).pid
    os.kill(pid, signal.SIGSTOP)
    try:
        call = asyncio.create_task(world.call(PREDICT, GOOD_PREDICT))
        await asyncio.wait({call}, timeout=STOPPED_S)
        assert not call.done()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await call).code is OK
    assert (await world.scrape()).total("serinus_event_loop_lag_seconds") > STOPPED_S / 2
    assert (await world.call(HEALTH, b"", is_counted=False)).code is OK
    await world.server.look()  # which forgets the lag that was wanted
    async with world.standing():
        assert (await world.call(PREDICT, GOOD_PREDICT)).code is OK
