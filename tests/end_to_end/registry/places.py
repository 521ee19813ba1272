"""A server with a registry, as its tests talk to it: models that tell their version, and what must stand."""

import asyncio
import contextlib
import dataclasses
import hashlib
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from onnx import helper

from open_inference import grpc_service_pb2 as oip
from serinus.core.dtypes import DType
from serinus_api.v1 import registry_pb2 as pb
from serinus_client import NO_RETRIES, AsyncClient, SerinusError
from tests.end_to_end.registry.nursery import ForkedServer, Nursery
from tests.support import models
from tests.support.invariants import Answer, assert_no_leak, failure
from tests.support.running_clock import RunningClock, running_clock

ROW = {"x": np.array([[1, 2]], np.float32)}
_REGISTER = "/serinus.v1.RegistryService/RegisterModel"
_OIP = "/inference.GRPCInferenceService/"
_PATIENCE_S = 30.0  # a machine whose cores are all busy
PAUSE_S = 0.01  # between two calls of somebody who calls all the while

# What is served besides what is registered, and must never notice any of it.
_NEIGHBOUR = '[models.neighbour]\npath = "neighbour.onnx"\n'


def times(factor: float, *, padding: int = 0) -> bytes:
    """y = x * factor, FP32 [N,2]: the answer tells which version gave it. `padding` are floats that do nothing."""
    more = [models.constant("padding", np.zeros(padding, np.float32))] if padding else []
    return models.build(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [models.value("x", DType.FP32, ["N", 2])],
        [models.value("y", DType.FP32, ["N", 2])],
        [models.constant("factor", np.array([factor], np.float32)), *more],
    )


def golden(factor: float) -> bytes:
    """A golden request for a model of `times`, and what it answers."""
    file = io.BytesIO()
    np.savez(file, **{"input/x": ROW["x"], "output/y": factor * ROW["x"]})
    return file.getvalue()


async def eventually(check: Callable[[], Awaitable[bool]], within_s: float = _PATIENCE_S) -> float:
    """Wait until `check` is true; seconds that it took. AssertionError if it takes longer than `within_s`."""
    clock = running_clock()
    started = clock.now()
    while not await check():
        assert clock.now() - started < within_s, f"not so within {within_s} s"
        await asyncio.sleep(PAUSE_S)
    return clock.now() - started


async def refusal(call: Awaitable[object], kind: type[SerinusError], reason: str, *words: str) -> SerinusError:
    """The error of a call that must be refused: of a class, with a reason, words in its sentence, and no leak."""
    with pytest.raises(SerinusError) as refused:
        await call
    error = refused.value
    assert_no_leak(Answer(error.code, str(error)))
    assert (type(error), error.reason) == (kind, reason), error
    assert all(word in error.message for word in words), error.message
    return error


@dataclasses.dataclass
class Place:
    """A server, the folder that it lives in, and a client that tries nothing twice.

    Attributes:
        folder: Holds the configuration, and by default all state.
        server: The server.
        client: Its client.
        channel: For what the client would not do.
        database: SQLite's file, or None.
    """

    folder: Path
    server: ForkedServer
    client: AsyncClient
    channel: grpc.aio.Channel
    database: Path | None

    async def register(self, model: str, version: str, content: bytes, **options: Any) -> Any:
        """Register a version of one file."""
        return await self.client.registry.register(model, self.file(content), version, **options)

    def file(self, content: bytes, name: str = "model.onnx") -> Path:
        """A file of the client's, which no later one overwrites."""
        file = self.folder / "client" / hashlib.sha256(content).hexdigest() / name
        if not file.exists():  # an upload of the same content may be reading it
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return file

    async def factor(self, model: str, version: str = "") -> float:
        """By what a model of `times` multiplies."""
        answer = await self.client.predict(model, ROW, version=version)
        assert (answer["y"] == answer["y"][0, 0] * ROW["x"]).all()
        return float(answer["y"][0, 0])

    async def serves(self, model: str, factor: float, version: str = "") -> bool:
        """Whether a call is answered by the version of that factor."""
        try:
            return await self.factor(model, version) == factor
        except SerinusError:
            return False

    async def index(self, model: str) -> dict[str, tuple[str, str]]:
        """State and reason of each version of a model, by its number, as Triton's clients see them."""
        answer = await self.channel.unary_unary(_OIP + "RepositoryIndex")(b"", timeout=30)
        entries = oip.RepositoryIndexResponse.FromString(answer).models
        for entry in entries:
            assert_no_leak(Answer(grpc.StatusCode.OK, entry.reason))
        return {entry.version: (entry.state, entry.reason) for entry in entries if entry.name == model}

    async def serving(self, model: str) -> list[str]:
        """Numbers of the versions that serve."""
        return sorted(number for number, (state, _) in (await self.index(model)).items() if state == "READY")

    async def readyz(self) -> dict[str, Any]:
        """What /readyz says of a server that is ready."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.http_port)
        writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        assert " 200 OK" in head, head
        assert_no_leak(Answer(grpc.StatusCode.OK, body))
        return json.loads(body)

    async def check_registry(self) -> None:
        """I5: the audit is the one that was written, and the database is whole; I7: no log line is an error."""
        verdict = await self.client.admin.verify_audit()
        assert (verdict.first_broken, verdict.problem) == (0, "")
        if self.database is not None:
            assert integrity(self.database) == "ok"

    @contextlib.asynccontextmanager
    async def undisturbed(self) -> AsyncIterator[list[float]]:
        """I6: somebody calls another model all the while, and every answer is right; seconds that each call took."""
        over, took = asyncio.Event(), []
        clock = running_clock()
        async with AsyncClient(self.server.address, retry=NO_RETRIES) as client:
            calling = asyncio.create_task(_call(client, over, took, clock))
            try:
                yield took
            finally:
                over.set()
                await calling
        assert took, "nobody called"


async def _call(client: AsyncClient, over: asyncio.Event, took: list[float], clock: RunningClock) -> None:
    while not over.is_set():
        started = clock.now()
        answer = await client.predict("neighbour", ROW)
        took.append(clock.now() - started)
        assert (answer["y"] == 7 * ROW["x"]).all()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), PAUSE_S)


def integrity(database: Path) -> str:
    """What SQLite says of all pages."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


@contextlib.asynccontextmanager
async def place(
    nursery: Nursery,
    folder: Path,
    keys: str = "",
    tables: str = "",
    *,
    state: str = "state",
    database: Path | None = None,
) -> AsyncIterator[Place]:
    """A server in `folder`, with a neighbour; it must end well, unless it was killed.

    Args:
        nursery: Starts it.
        folder: Of one server; may hold what an earlier one has left.
        keys: Top-level keys of its configuration.
        tables: Its tables.
        state: The state folder.
        database: SQLite's file, if it is not the one in the state folder; or the state folder's.
    """
    _furnish(folder)
    config = f'state = "{state}"\n{keys}\n{_NEIGHBOUR}{tables}'
    async with (
        nursery.server(folder, config) as server,
        AsyncClient(server.address, retry=NO_RETRIES) as client,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield Place(folder, server, client, channel, database)


def _furnish(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "neighbour.onnx").write_bytes(times(7))


@contextlib.asynccontextmanager
async def sqlite_place(nursery: Nursery, folder: Path, keys: str = "", tables: str = "") -> AsyncIterator[Place]:
    """A server with everything in its own state folder, whose registry stands before and after the block."""
    async with place(nursery, folder, keys, tables, database=folder / "state" / "registry.db") as made:
        yield made
        if not made.server.is_killed:
            await made.check_registry()


async def upload(address: str, header: pb.RegisterModelHeader, *chunks: bytes) -> Answer:
    """Register with any header and any bytes whatever; leaks in the status are an AssertionError."""
    messages = [pb.RegisterModelRequest(header=header), *(pb.RegisterModelRequest(chunk=chunk) for chunk in chunks)]
    return await register_messages(address, *(message.SerializeToString() for message in messages))


async def register_messages(address: str, *messages: bytes) -> Answer:
    """How a stream of any messages whatever to RegisterModel ends."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    # Not grpc.aio: a status that comes before everything is sent is lost there now and then, and our client's own way
    # around that is not what is tested here.
    with grpc.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        call = channel.stream_unary(_REGISTER).future(iter(messages), timeout=60)
        call.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
        await ended.wait()
        if call.code() is grpc.StatusCode.OK:
            return Answer(grpc.StatusCode.OK, content=call.result())
        answer = failure(call)
    assert_no_leak(answer)
    return answer


def header(model: str, version: str, files: dict[str, bytes], **fields: Any) -> pb.RegisterModelHeader:
    """What a client says of `files` before it sends them, in this order."""
    declared = [
        pb.ArtifactFile(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        for path, content in files.items()
    ]
    return pb.RegisterModelHeader(model=model, version=version, files=declared, actor="a test", **fields)
