"""Rows 56 to 66 on a running server: versions that are not accepted, and that nothing of them stays."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from serinus_api.v1 import registry_pb2 as pb
from serinus_client import NotFound, Refused
from tests.end_to_end.faults.conftest import CHANNEL_OPTIONS
from tests.end_to_end.faults.messages import INFER, f32, infer, infer_input
from tests.end_to_end.registry import hostile_models as hostile
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually, golden, header, refusal, sqlite_place, times, upload
from tests.support import models
from tests.support.disks import files_below
from tests.support.invariants import SECRET, Answer, World, assert_refused

TABLES = """
[registry]
max_uploads = 64
stall_s = 2
[intake]
memory_mib = 1024
timeout_s = 6
"""
REFUSED, WRONG = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT
MAIN = "model.onnx"
GOOD, UNSTORED = times(2), times(2.25)


def one_file(content: bytes) -> dict[str, bytes]:
    return {MAIN: content}


# What only a child process finds out, and what is said.
LOADED: dict[str, tuple[dict[str, bytes], str, str]] = {
    "empty": (one_file(b""), "INVALID_MODEL", "is empty"),
    "truncated": (one_file(models.tabular()[:100]), "INVALID_MODEL", "is not an ONNX model, or is damaged"),
    "garbage": (one_file(b"\xffnot a model" * 99), "INVALID_MODEL", "is not an ONNX model, or is damaged"),
    "future-opset": (one_file(models.identity(opset=99)), "MODEL_TOO_NEW", "opset 99"),
    "foreign": (one_file(hostile.foreign()), "UNKNOWN_OPERATOR", "com.example"),
    "cyclic": (one_file(hostile.cyclic()), "INVALID_MODEL", "its graph has a cycle"),
    "huge": (one_file(hostile.huge_weights()), "INVALID_MODEL", "[1099511627776]"),
    "outside": (one_file(hostile.with_weights("../../../etc/passwd")), "EXTERNAL_DATA_FORBIDDEN", "leaves the model's"),
    "in-memory": (one_file(hostile.with_weights("*/_ORT_MEM_ADDR_/*")), "EXTERNAL_DATA_FORBIDDEN", "into memory"),
    "memory-bomb": (one_file(hostile.memory_bomb()), "TOO_MUCH_MEMORY", "memory"),
    "hang": (one_file(hostile.hang()), "TOO_SLOW", "takes more than 6 s"),
}

# What is refused before a child process is started.
UNSAFE: dict[str, tuple[dict[str, bytes], grpc.StatusCode, str, str]] = {
    "pickle-by-name": ({MAIN: UNSTORED, "scaler.pkl": b"anything"}, REFUSED, "UNSAFE_FORMAT", "scaler.pkl"),
    "library-by-name": ({MAIN: UNSTORED, "ops.so": b"anything"}, REFUSED, "UNSAFE_FORMAT", "ops.so"),
    "pickle": ({MAIN: UNSTORED, "w.bin": hostile.pickled()}, REFUSED, "UNSAFE_FORMAT", "a pickle"),
    "library": ({MAIN: UNSTORED, "w.bin": b"\x7fELF\2\1\1" + b"\0" * 99}, REFUSED, "UNSAFE_FORMAT", "a library"),
    "objects": ({MAIN: UNSTORED, "w.npz": hostile.objects()}, REFUSED, "UNSAFE_FORMAT", "Python objects"),
    "slip": ({MAIN: UNSTORED, "../slip": b"x"}, WRONG, "INVALID_PATH", "../slip"),
    "absolute-slip": ({MAIN: UNSTORED, "/etc/slip": b"x"}, WRONG, "INVALID_PATH", "/etc/slip"),
    "backslash": ({MAIN: UNSTORED, "..\\slip": b"x"}, WRONG, "INVALID_PATH", "slip"),
    "hidden": ({MAIN: UNSTORED, ".slip": b"x"}, WRONG, "INVALID_PATH", ".slip"),
    "clash": ({MAIN: UNSTORED, "Model.onnx": b"x"}, WRONG, "PATH_CLASH", "differ by more than case"),
}


@pytest.fixture(scope="module")
async def one(forks: Nursery, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A server that all tests of this file use, with one good model."""
    async with sqlite_place(forks, tmp_path_factory.mktemp(SECRET) / "one", tables=TABLES) as made:
        await made.register("good", "1.0.0", GOOD)
        await eventually(lambda: made.serves("good", 2))
        yield made


@pytest.fixture(scope="module")
async def world(one: Place) -> AsyncIterator[World]:
    """The same server with the standing invariants, whose neighbour calls a registered model."""
    golden = infer("good", infer_input(shape=(1, 2)), raw=(f32(1, 2),))
    async with (
        grpc.aio.insecure_channel(one.server.address, options=CHANNEL_OPTIONS) as channel,
        grpc.aio.insecure_channel(one.server.address, options=CHANNEL_OPTIONS) as neighbour,
    ):
        made = World(one.server, channel=channel, neighbour=neighbour, golden=(INFER, golden))
        # What the first of their kind make and keep is nobody's leak: the connections of the database.
        await asyncio.gather(*(one.client.registry.model("good") for _ in range(64)))
        yield made


def kept(one: Place) -> set[str]:
    """Everything below the state folder but the database and locks."""
    return {
        path
        for path in files_below(one.folder / "state")
        if not path.endswith(".lock") and path.startswith(("artifacts/", "staging/", "cache/", "uploads/"))
    }


@pytest.fixture(scope="module")
async def answers(one: Place, world: World) -> dict[str, Answer]:
    """How each hostile registration ended; all at once, because most of the time goes into starting processes."""
    before, audit = kept(one), (await one.client.admin.verify_audit()).entries
    async with world.standing():
        names = [*LOADED, *UNSAFE]
        told = [{**LOADED, **UNSAFE}[name][0] for name in names]
        found = await asyncio.gather(
            *(
                upload(world.server.address, header(name, "1.0.0", files), *files.values())
                for name, files in zip(names, told, strict=True)
            )
        )
    assert kept(one) == before, "nothing of them stays"
    assert (await one.client.admin.verify_audit()).entries == audit
    assert [each.name async for each in one.client.registry.models()] == ["good"]
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize("name", LOADED)
def test_a_version_that_cannot_be_loaded_is_refused_in_a_sentence(answers: dict[str, Answer], name: str):
    """By what a child process has found out; the server and its neighbours have noticed nothing."""
    _, reason, words = LOADED[name]
    assert_refused(answers[name], REFUSED, reason, words)


@pytest.mark.parametrize("name", UNSAFE)
def test_files_that_are_code_or_leave_their_folder_are_refused(answers: dict[str, Answer], name: str):
    """Before anything is loaded."""
    _, code, reason, words = UNSAFE[name]
    assert_refused(answers[name], code, reason)
    assert words in answers[name].message.replace("\\\\", "\\"), answers[name].message


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
async def test_a_version_whose_loading_crashes_is_refused(one: Place, world: World, number: signal.Signals):
    """Row 56: the process that loads it dies, and no other."""
    pid = (await one.server.look()).pid
    async with world.standing():
        asked = header("crash", "1.0.0", one_file(hostile.hang()))
        registering = asyncio.create_task(upload(world.server.address, asked, hostile.hang()))
        await eventually(lambda: _kill_child(pid, number))
        answer = await registering
    reason, words = ("CRASHED", "SIGSEGV") if number is signal.SIGSEGV else ("TOO_MUCH_MEMORY", "killed by the system")
    assert_refused(answer, REFUSED, reason, words)


async def _kill_child(parent: int, number: signal.Signals) -> bool:
    children = _children(parent)
    for child in children:
        os.kill(child, number)
    return bool(children)


def _children(parent: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{parent}/task").iterdir()
        for child in (task / "children").read_text().split()
        if b"intake_child" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.mark.parametrize(
    ("chunks", "code", "reason", "words"),
    [
        ((GOOD[:-1] + b"\0",), WRONG, "HASH_MISMATCH", "has the sha256"),
        ((GOOD[:-1],), WRONG, "WRONG_SIZE", "was declared with"),
        ((GOOD, b"more"), WRONG, "WRONG_SIZE", "more bytes were sent"),
        ((), WRONG, "WRONG_SIZE", "got 0"),
    ],
    ids=["other bytes", "too few", "too many", "none"],
)
async def test_bytes_that_were_not_declared_are_refused(
    one: Place, world: World, chunks: tuple[bytes, ...], code: grpc.StatusCode, reason: str, words: str
):
    """Nothing of the upload stays."""
    before = kept(one)
    other = times(2.5)  # which is not stored
    async with world.standing():
        sent = tuple(other[: len(chunk)] if chunk == GOOD[:-1] else chunk.replace(GOOD, other) for chunk in chunks)
        if reason == "HASH_MISMATCH":
            sent = (other[:-1] + bytes([other[-1] ^ 1]),)
        answer = await upload(world.server.address, header("bytes", "1.0.0", one_file(other)), *sent)
    assert_refused(answer, code, reason, words)
    assert kept(one) == before


async def test_an_upload_that_stops_is_given_up(one: Place, world: World):
    """With a deadline; and one whose caller goes away leaves nothing either."""
    before = kept(one)

    async def never_ending() -> AsyncIterator[bytes]:
        content = times(2.6)
        yield pb.RegisterModelRequest(header=header("stalled", "1.0.0", one_file(content))).SerializeToString()
        yield pb.RegisterModelRequest(chunk=content[:10]).SerializeToString()
        await asyncio.Event().wait()

    method = world.channel.stream_unary("/serinus.v1.RegistryService/RegisterModel")
    async with world.standing():
        with pytest.raises(grpc.aio.AioRpcError) as stalled:
            await method(never_ending(), timeout=30)
        given_up = method(never_ending(), timeout=30)
        await eventually(lambda: _differs(one, before))
        given_up.cancel()
        await eventually(lambda: _same(one, before))
    assert stalled.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert (stalled.value.details() or "").startswith("UPLOAD_STALLED: nothing was sent for 2 s")
    await refusal(one.client.registry.model("stalled"), NotFound, "UNKNOWN_MODEL", "stalled")


async def _differs(one: Place, before: set[str]) -> bool:
    return kept(one) != before


async def _same(one: Place, before: set[str]) -> bool:
    return kept(one) == before


async def test_a_version_that_is_too_small_for_its_change_is_refused(one: Place):
    """With what differs, and the smallest version that would do; who insists has it, and the audit knows."""
    registry = one.client.registry
    async with one.undisturbed():
        await one.register("grown", "1.0.0", times(2))
        wanted = one.register("grown", "1.0.1", models.two_inputs())
        error = await refusal(wanted, Refused, "VERSION_TOO_SMALL", "'x'", "'a'", "'y'", "2.0.0")
        assert error.code is REFUSED
        assert await one.factor("grown") == 2
        forced = await one.register("grown", "1.0.1", models.two_inputs(), force_version=True)
        larger = await one.register("grown", "2.0.0", models.two_inputs())
    assert (forced.version.forced, larger.version.forced) == (True, False)
    entries = [entry async for entry in one.client.admin.list_audit(model="grown")]
    assert [('is_forced":true' in entry.after_json) for entry in entries] == [False, True, False]
    assert [each.version async for each in registry.versions("grown")] == ["2.0.0", "1.0.1", "1.0.0"]


async def test_a_name_of_the_operators_cannot_be_registered(one: Place):
    """The operator's model goes on."""
    async with one.undisturbed():
        await refusal(one.register("neighbour", "1.0.0", times(2)), Refused, "NAME_TAKEN", "neighbour")


async def test_a_golden_request_that_is_answered_wrongly_is_refused(one: Place):
    """The sentence says by how much."""
    wrong = [one.file(golden(2.5), "wrong.npz")]
    async with one.undisturbed():
        await refusal(one.register("golden", "1.0.0", times(2), goldens=wrong), Refused, "GOLDEN_MISMATCH", "wrong.npz")
    await refusal(one.client.registry.model("golden"), NotFound, "UNKNOWN_MODEL")
