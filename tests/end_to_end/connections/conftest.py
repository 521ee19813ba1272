"""Watched servers for those who mistreat connections: one as it comes, one that is impatient."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import grpc.aio
import pytest

from tests.end_to_end.faults.conftest import CHANNEL_OPTIONS
from tests.end_to_end.faults.messages import GOOD_INFER, INFER
from tests.support import models
from tests.support.invariants import SECRET, World
from tests.support.server import watched_server

_MODELS = {
    "tabular": models.tabular(),
    "identity": models.identity(shape=("N", None)),
    "loop": models.counted_loop(),
}
_IMPATIENT = """
[grpc]
handshake_timeout_s = 1
keepalive_time_s = 1
keepalive_timeout_s = 1
max_connection_idle_s = 2
max_connection_age_s = 4
max_connection_age_jitter = 0
max_connection_age_grace_s = 1
"""


@contextlib.asynccontextmanager
async def started(
    folder: Path, config: str, *, under: Sequence[str] = (), more: Mapping[str, bytes] = MappingProxyType({})
) -> AsyncIterator[World]:
    """A server with the models, and `more` of them; nobody has called it yet."""
    lines = ['state = "state"\n', config]
    for name, content in {**more, **_MODELS}.items():
        (folder / f"{name}.onnx").write_bytes(content)
        lines.append(f'[models.{name}]\npath = "{name}.onnx"\n')
    lines.append("instances = 1\n")  # of the last, `loop`: while one call runs, the others wait
    async with (
        watched_server(folder, "\n".join(lines), under=under) as server,
        grpc.aio.insecure_channel(server.address, options=CHANNEL_OPTIONS) as channel,
        grpc.aio.insecure_channel(server.address, options=CHANNEL_OPTIONS) as neighbour,
    ):
        yield World(server, channel=channel, neighbour=neighbour, golden=(INFER, GOOD_INFER))


@contextlib.asynccontextmanager
async def served(
    folder: Path, config: str, *, under: Sequence[str] = (), more: Mapping[str, bytes] = MappingProxyType({})
) -> AsyncIterator[World]:
    """The same, and what its first calls make and keep is there: nobody's leak."""
    async with started(folder, config, under=under, more=more) as world:
        await world.channel.channel_ready()
        await world.ask_golden()
        await world.scrape()
        async with world.standing():
            await world.call(INFER, GOOD_INFER)
        yield world


@pytest.fixture(scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A server as it comes."""
    async with served(tmp_path_factory.mktemp(SECRET), "") as made:
        yield made


@pytest.fixture(scope="session")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A server whose patience ends within seconds in every respect."""
    async with served(tmp_path_factory.mktemp(SECRET), _IMPATIENT) as made:
        yield made
