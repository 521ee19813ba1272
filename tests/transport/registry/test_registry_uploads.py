"""Registrations over the wire: what is taken, what is refused, and that nothing of it stays."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from serinus.core.artifact import ArtifactFile
from serinus.transport.registry.ports import UploadHeader
from serinus_api.v1 import registry_pb2 as pb
from tests.support.records import version_record
from tests.transport.registry.registry_on_grpc import Registry, refusal, refused_field, running

HASH = "a" * 64
MIB = 1 << 20


def header(*sizes: int, **fields) -> pb.RegisterModelRequest:
    files = [pb.ArtifactFile(path=f"f{i}.onnx", sha256=HASH, size_bytes=size) for i, size in enumerate(sizes)]
    return pb.RegisterModelRequest(
        header=pb.RegisterModelHeader(**{"model": "m", "version": "1.0.0", "files": files, **fields})
    )


def chunk(content: bytes) -> pb.RegisterModelRequest:
    return pb.RegisterModelRequest(chunk=content)


@pytest.fixture
async def served() -> AsyncIterator[Registry]:
    async with running() as made:
        made.registry.register(version_record(), stable=1)
        yield made


async def sent(served: Registry, *messages: pb.RegisterModelRequest):
    """A call that has sent these messages, unless it was refused before the last one, and no more will."""
    call = served.upload()
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        for message in messages:
            await call.write(message)
        await call.done_writing()
    return call


async def test_a_version_is_registered_from_its_bytes(served: Registry):
    """In as many chunks as the client likes; the header says the rest, and there is one answer."""
    said = header(
        3,
        4 * MIB,
        main="f0.onnx",
        facts_yaml="description: x",
        goldens=["g.npz"],
        force_version=True,
        aliases=["canary"],
        expected_revision=0,
        actor="ann",
    )
    call = await sent(served, said, chunk(b"abc"), chunk(b""), chunk(bytes(4 * MIB)))
    answer = await call
    assert served.uploads.registered == [
        (
            UploadHeader(
                model="m",
                version="1.0.0",
                files=(ArtifactFile("f0.onnx", HASH, 3), ArtifactFile("f1.onnx", HASH, 4 * MIB)),
                main="f0.onnx",
                facts_yaml="description: x",
                goldens=("g.npz",),
                is_forced=True,
                aliases=("canary",),
                expected_revision=0,
                actor="ann",
            ),
            b"abc" + bytes(4 * MIB),
        )
    ]
    assert (answer.version.version, list(answer.version.aliases)) == ("1.0.0", ["stable"])
    assert (answer.created, answer.revision) == (True, 7)


async def test_who_registers_without_a_name_is_known_by_their_address(served: Registry):
    """And expects no revision unless they say so."""
    await (await sent(served, header(0)))
    ((said, _),) = served.uploads.registered
    assert (said.actor, said.expected_revision) == ("anonymous@127.0.0.1", None)


@pytest.mark.parametrize(
    ("messages", "reason", "ended"),
    [
        ([], "MISSING_HEADER", []),
        ([pb.RegisterModelRequest()], "MISSING_HEADER", []),
        ([chunk(b"a"), header(1)], "MISSING_HEADER", []),
        ([header(1), header(1)], "UNEXPECTED_MESSAGE", ["InvalidInput"]),
        ([header(1), pb.RegisterModelRequest()], "UNEXPECTED_MESSAGE", ["InvalidInput"]),
        ([header(9 * MIB), chunk(bytes(4 * MIB)), chunk(bytes(4 * MIB + 1))], "CHUNK_TOO_LONG", ["InvalidInput"]),
        ([header(3), chunk(b"ab")], "WRONG_SIZE", ["refused"]),
        ([header(3), chunk(b"abcd")], "WRONG_SIZE", ["refused"]),
    ],
    ids=["nothing", "empty", "chunk-first", "two-headers", "empty-later", "long-chunk", "too-few", "too-many"],
)
async def test_what_is_no_header_and_then_its_bytes_is_refused(
    served: Registry, messages, reason: str, ended: list[str]
):
    """With a sentence; the upload is over, and nothing of it is registered."""
    found, _ = await refused_field(await sent(served, *messages))
    assert (found, served.uploads.registered, served.uploads.ended) == (reason, [], ended)


@pytest.mark.parametrize(
    ("said", "reason", "field"),
    [
        (header(1, model="../m"), "INVALID_NAME", "model"),
        (header(1, version="1.0"), "INVALID_VERSION", "version"),
        (header(*[1] * 1001), "TOO_MANY_ENTRIES", "files"),
        (header(files=[pb.ArtifactFile()] * 1001), "TOO_MANY_ENTRIES", "files"),
        (header(1 << 41), "FILE_TOO_LARGE", "files"),
        (header(1, files=[pb.ArtifactFile(path="../x", sha256=HASH)]), "INVALID_PATH", "path"),
        (header(1, files=[pb.ArtifactFile(path="x", sha256="a")]), "INVALID_HASH", "sha256"),
        (header(1, goldens=["g"] * 1001), "TOO_MANY_ENTRIES", "goldens"),
        (header(1, aliases=["a"] * 65), "TOO_MANY_ENTRIES", "aliases"),
        (header(1, aliases=["latest"]), "INVALID_ALIAS", "alias"),
        (header(1, actor="\n"), "CONTROL_CHARACTER", "actor"),
        (header(1, facts_yaml="x" * (MIB + 1)), "TEXT_TOO_LONG", "facts_yaml"),
    ],
)
async def test_a_header_that_cannot_be_meant_is_refused_with_its_field(served: Registry, said, reason, field):
    """Before a byte is taken."""
    assert await refused_field(await sent(served, said)) == (reason, field)
    assert not served.uploads.begun.is_set()


async def test_facts_of_a_mebibyte_pass(served: Registry):
    """They are as long as facts may be."""
    await (await sent(served, header(0, facts_yaml="x" * MIB)))
    ((said, _),) = served.uploads.registered
    assert len(said.facts_yaml) == MIB


@pytest.mark.parametrize("way", ["cancel", "close"])
async def test_a_client_that_goes_away_leaves_nothing(served: Registry, way: str):
    """In the middle of its bytes."""
    call = served.upload()
    await call.write(header(2 * MIB))
    await call.write(chunk(bytes(MIB)))
    await served.uploads.begun.wait()
    if way == "cancel":
        call.cancel()
    else:
        await served.channel.close()
    async with asyncio.timeout(20):
        await served.uploads.over.wait()
    # A connection that is gone may look like the end of the messages first: then there are too few bytes.
    assert (served.uploads.registered, served.uploads.ended) in [([], ["CancelledError"]), ([], ["refused"])]


async def test_a_client_that_never_sends_its_header_is_refused():
    """It would keep a place for ever."""
    async with running(stall_s=0.05) as served:
        assert await refusal(served.upload()) == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "UPLOAD_STALLED: nothing was sent for 0.05 s",
        )


async def test_no_upload_begins_while_the_server_drains_and_none_is_broken_off(served: Registry):
    """What has begun is let finish, within the grace that the server gives all calls."""
    begun = served.upload()
    await begun.write(header(1))
    await served.uploads.begun.wait()
    served.drain.begin()
    assert await refusal(await sent(served, header(0))) == (
        grpc.StatusCode.UNAVAILABLE,
        "DRAINING: the server is going away",
    )
    await begun.write(chunk(b"a"))
    await begun.done_writing()
    assert (await begun).created
