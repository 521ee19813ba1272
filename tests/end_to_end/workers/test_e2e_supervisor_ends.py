"""However the supervisor is told to go, or goes, nobody is left behind."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from serinus_client import AsyncClient, SerinusError, Transport
from tests.end_to_end.workers.supervised import Supervised, is_free, supervised, until_free, until_gone

TRIPS_OF_A_SECOND = 400_000
TRIPS_WITHOUT_END = 2**40


@contextlib.asynccontextmanager
async def call_in_flight(target: str, trips: int) -> AsyncIterator["asyncio.Task"]:
    """A call that runs for so long; it is inside the model when the block begins."""
    inputs = {"x": np.ones((1, 128), np.float32), "trips": np.array(trips, np.int64)}
    async with AsyncClient(target, timeout_s=60, transport=Transport.UNARY) as client, AsyncClient(target) as other:
        call = asyncio.create_task(client.predict("loop", inputs))
        while (await other.admin.server_status()).bytes_in_flight == 0:
            pass
        yield call
        call.cancel()
        await asyncio.wait({call})


def processes(server: Supervised) -> list[int]:
    return [worker["pid"] for worker in server.ready["workers"]]


async def test_calls_in_flight_are_answered_before_the_workers_go(models_folder: Path) -> None:
    """Exit code 0, and nothing lost."""
    with supervised(models_folder, 1, "--model=loop=loop.onnx") as server:
        async with call_in_flight(server.target, TRIPS_OF_A_SECOND) as call:
            server.process.send_signal(signal.SIGTERM)
            outputs = await call
        assert await server.end() == 0
        await until_gone(processes(server))
    np.testing.assert_array_equal(outputs["y"], np.ones((1, 128), np.float32))


async def test_a_second_signal_ends_everybody_at_once(models_folder: Path) -> None:
    """Whatever is in flight; the exit code is the shell's for that signal."""
    with supervised(models_folder, 1, "--model=loop=loop.onnx") as server:
        async with call_in_flight(server.target, TRIPS_WITHOUT_END) as call:
            server.process.send_signal(signal.SIGTERM)
            await server.until("draining", 1)
            assert await server.end(signal.SIGINT) == 128 + signal.SIGINT
            with pytest.raises(SerinusError):
                await call
        await until_gone(processes(server))


async def test_no_orphan_holds_the_port_of_a_killed_supervisor(models_folder: Path) -> None:
    """The system ends the workers; the next server can start."""
    with supervised(models_folder, 2, "--model=tab=tab.onnx") as server:
        assert not is_free(server.ready["grpc_port"])
        await server.end(signal.SIGKILL)
        await until_gone(processes(server))
        await until_free(server.ready["grpc_port"])


async def test_a_client_can_drain_all_workers(models_folder: Path) -> None:
    """Whichever it meets: the others leave as well, and nobody is started again."""
    with supervised(models_folder, 2, "--model=tab=tab.onnx") as server:
        async with AsyncClient(server.target) as client:
            await client.admin.drain()
        assert await server.end() == 0
        assert server.count("drained") == 2
        await until_gone(processes(server))
