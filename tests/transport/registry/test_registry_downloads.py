"""Files of versions over the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import grpc
import grpc.aio
import pytest

from serinus.core.artifact import ArtifactFile, Manifest
from serinus.transport.registry.downloads import CHUNK_BYTES, Downloads
from serinus.transport.service import typed_answers
from serinus_api.v1 import registry_pb2 as pb
from tests.support.fakes import settle
from tests.support.records import version_record
from tests.transport.fake_context import FakeContext
from tests.transport.registry.registry_fakes import FakeArtifacts, FakeRegistry
from tests.transport.registry.registry_on_grpc import Registry, refusal, refused_field, running

WEIGHTS = bytes(range(256)) * 4096 * 3 + b"end"  # 3 MiB and 3 bytes
FILES = FakeArtifacts(b"onnx", WEIGHTS, b"").files
ONNX, DATA, EMPTY = (
    ArtifactFile(p, h, len(c)) for p, (h, c) in zip(["model.onnx", "w.data", "z"], FILES.items(), strict=True)
)


def fill(registry: FakeRegistry) -> None:
    manifest = Manifest("model.onnx", (ONNX, DATA, EMPTY))
    registry.register(replace(version_record(), manifest=manifest), stable=1)


@pytest.fixture
async def served() -> AsyncIterator[Registry]:
    async with running() as made:
        fill(made.registry)
        made.artifacts.files = dict(FILES)
        yield made


def shown(file: ArtifactFile) -> pb.ArtifactFile:
    return pb.ArtifactFile(path=file.path, sha256=file.sha256, size_bytes=file.size_bytes)


async def taken(call) -> list[pb.DownloadArtifactResponse]:
    return [each async for each in call]


async def test_the_onnx_file_is_what_is_sent_unless_another_is_named(served: Registry):
    """The first message says which file it is."""
    answers = await taken(served.stream("DownloadArtifact", pb.DownloadArtifactRequest(model="m")))
    assert answers == [pb.DownloadArtifactResponse(chunk=b"onnx", file=shown(ONNX))]


@pytest.mark.parametrize("offset", [0, 1, CHUNK_BYTES, len(WEIGHTS) - 1, len(WEIGHTS)])
async def test_a_file_comes_from_an_offset_on_in_chunks(served: Registry, offset: int):
    """Whatever the store's own pieces are; one that is whole already is named and nothing more."""
    asked = pb.DownloadArtifactRequest(model="m", path="w.data", offset=offset)
    answers = await taken(served.stream("DownloadArtifact", asked))
    assert b"".join(each.chunk for each in answers) == WEIGHTS[offset:]
    assert max(len(each.chunk) for each in answers) <= CHUNK_BYTES
    assert [each.HasField("file") for each in answers] == [True] + [False] * (len(answers) - 1)


async def test_an_empty_file_is_one_message(served: Registry):
    """Without bytes."""
    answers = await taken(served.stream("DownloadArtifact", pb.DownloadArtifactRequest(model="m", path="z")))
    assert answers == [pb.DownloadArtifactResponse(file=shown(EMPTY))]


@pytest.mark.parametrize(
    ("asked", "reason", "field"),
    [
        (pb.DownloadArtifactRequest(model="m", path="w.data", offset=len(WEIGHTS) + 1), "OFFSET_BEYOND_END", "offset"),
        (pb.DownloadArtifactRequest(model="m", path="../../etc/passwd"), "NOT_FOUND", "path"),
        (pb.DownloadArtifactRequest(model="m", path="x" * 513), "TEXT_TOO_LONG", "path"),
        (pb.DownloadArtifactRequest(model="m", selector="nobody"), "UNKNOWN_VERSION", "version"),
        (pb.DownloadArtifactRequest(model="none"), "NOT_FOUND", "model"),
        (pb.DownloadArtifactRequest(model=""), "INVALID_NAME", "model"),
    ],
)
async def test_what_is_not_there_is_refused(served: Registry, asked, reason: str, field: str):
    """The store is not asked for it."""
    found, at = await refused_field(served.stream("DownloadArtifact", asked))
    assert (found, at or field) == (reason, field)
    assert served.artifacts.given == 0


@pytest.mark.parametrize(
    "change", [lambda content: content[:-1], lambda content: content + b"x"], ids=["short", "long"]
)
async def test_a_file_of_another_size_is_said_to_be_lost(served: Registry, change: Callable[[bytes], bytes]):
    """It never ends as if it were whole."""
    served.artifacts.files[DATA.sha256] = change(WEIGHTS)
    code, sentence = await refusal(
        served.stream("DownloadArtifact", pb.DownloadArtifactRequest(model="m", path="w.data"))
    )
    assert (code, sentence) == (
        grpc.StatusCode.DATA_LOSS,
        f"HASH_MISMATCH: m@1.0.0: file 'w.data' has another size than the {len(WEIGHTS)} bytes registered",
    )


@pytest.mark.usefixtures("nothing_left_behind")
async def test_a_client_that_does_not_read_makes_nobody_read_ahead():
    """The store is asked for a piece when the one before is on its way; gone, the client leaves it closed."""
    registry, artifacts = FakeRegistry(), FakeArtifacts()
    fill(registry)
    artifacts.files, artifacts.piece_bytes = dict(FILES), CHUNK_BYTES
    downloads = Downloads(registry, artifacts)
    method = typed_answers(pb.DownloadArtifactRequest, lambda asked, _context: downloads.download(asked))
    context = FakeContext()
    context.window.clear()
    asked = pb.DownloadArtifactRequest(model="m", path="w.data").SerializeToString()
    task = asyncio.ensure_future(method(asked, context))  # type: ignore[arg-type]  # a fake
    await settle()
    assert (artifacts.given, artifacts.is_closed) == (1, False)
    context.window.set()
    await context.until_written(1)
    context.window.clear()
    await settle()
    assert len(context.written) <= artifacts.given <= len(context.written) + 1
    task.cancel()
    context.broken = grpc.aio.InternalError("gone")
    context.window.set()  # grpc core ends what was under way to a client that has gone
    await asyncio.wait((task,), timeout=20)
    assert artifacts.is_closed


async def test_no_download_begins_while_the_server_drains(served: Registry):
    """It would be cut off; another server has the file."""
    served.drain.begin()
    call = served.stream("DownloadArtifact", pb.DownloadArtifactRequest(model="m"))
    assert await refusal(call) == (grpc.StatusCode.UNAVAILABLE, "DRAINING: the server is going away")
