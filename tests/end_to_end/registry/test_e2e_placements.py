"""Loading and unloading on somebody's word: by our calls, by Triton's, and by want of memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from serinus_client import AsyncClient, DataLost, NotFound, NotLoaded, Refused, Unavailable
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import ROW, Place, eventually, refusal, sqlite_place, times
from tests.support.disks import sha256
from tests.support.invariants import SECRET

EXPLICIT = '[registry]\nmode = "explicit"\n'
SMALL = "[loading]\nmax_models_mib = 8\n"
THREE_MIB = 3 * 2**20 // 4  # floats


@contextlib.asynccontextmanager
async def calling(one: Place, model: str, factor: float) -> AsyncIterator[None]:
    """Somebody calls a model all the while, and is always answered by the version of that factor."""
    over = asyncio.Event()

    async def call() -> None:
        while not over.is_set():
            assert await one.factor(model) == factor
            await asyncio.sleep(0.005)

    caller = asyncio.create_task(call())
    try:
        yield
    finally:
        over.set()
        await caller


def numbers(answer: object) -> list[str]:
    """The versions that an answer says serve."""
    return [each.version for each in answer.versions]  # type: ignore[attr-defined]  # of two messages


@pytest.fixture(scope="module")
async def one(forks: Nursery, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A server that follows its registry."""
    async with sqlite_place(forks, tmp_path_factory.mktemp(SECRET) / "one") as made:
        yield made


async def test_a_version_is_loaded_and_unloaded_beside_others(one: Place):
    """Calls of the version that stays notice nothing; what was decided is written down, with who decided it."""
    admin = one.client.admin
    await one.register("m", "1.0.0", times(2))
    await one.register("m", "1.1.0", times(3))
    await eventually(lambda: one.serves("m", 2))
    await eventually(lambda: _is_away(one, "m", "2", "not loaded"))
    await refusal(one.factor("m", "1.1.0"), NotLoaded, "NOT_LOADED", "serinus models load m@1.1.0")
    async with one.undisturbed(), calling(one, "m", 2):
        for _ in range(3):
            assert numbers(await admin.load_model("m", "1.1.0", actor="ann")) == ["1.1.0", "1.0.0"]
            assert await one.factor("m", "1.1.0") == 3
            assert numbers(await admin.unload_model("m", "^1", actor="ann")) == ["1.0.0"]
            await refusal(one.factor("m", "1.1.0"), NotLoaded, "NOT_LOADED")
        await refusal(admin.load_model("m", "7.0.0"), NotFound, "UNKNOWN_VERSION", "1.1.0")
        await refusal(admin.load_model("nobody"), NotFound, "NOT_FOUND", "nobody")
        await admin.load_model("m", "1.1.0")
        await refusal(one.client.registry.delete("m", "1.1.0"), Refused, "IN_USE", "to stay loaded")
    actors = [each.actor async for each in admin.list_audit(model="m") if each.action == "version.place"]
    assert actors[:6] == ["ann"] * 6


async def test_all_of_a_model_is_unloaded_and_comes_back(forks: Nursery, home: Path):
    """Also for Triton's clients; and it stays away when the server is started again."""
    folder = home / "one"
    async with sqlite_place(forks, folder) as one:
        await one.register("m", "1.0.0", times(2))
        await one.register("m", "1.1.0", times(3), aliases=["canary"])
        await eventually(lambda: one.serves("m", 3, "canary"))
        async with one.undisturbed():
            assert numbers(await one.client.admin.unload_model("m")) == []
            await refusal(one.factor("m"), NotLoaded, "NOT_LOADED", "serinus models load m")
            assert {state for state, _ in (await one.index("m")).values()} == {"UNAVAILABLE"}
    async with sqlite_place(forks, folder) as one, one.undisturbed():
        await refusal(one.factor("m"), NotLoaded, "NOT_LOADED", "serinus models load m")
        async with triton.InferenceServerClient(one.server.address) as client:
            await client.load_model("m")
            assert await client.is_model_ready("m", "2")
            assert await one.factor("m") == 2
            assert await one.factor("m", "canary") == 3
            with pytest.raises(InferenceServerException, match="is registered: expected no 'config'"):
                await client.load_model("m", config="{}")
            await client.unload_model("m")
            assert not await client.is_model_ready("m")
            index = await client.get_model_repository_index(as_json=True)
            assert sorted((each["version"], each["state"]) for each in index["models"] if each["name"] == "m") == [
                ("1", "UNAVAILABLE"),
                ("2", "UNAVAILABLE"),
            ]
            await client.load_model("m")
        assert await one.factor("m") == 2


async def test_an_explicit_server_serves_what_it_is_told_to(forks: Nursery, home: Path):
    """An alias alone loads nothing; it names what is loaded."""
    async with sqlite_place(forks, home / "one", tables=EXPLICIT) as one, one.undisturbed():
        registry, admin = one.client.registry, one.client.admin
        await one.register("m", "1.0.0", times(2))
        await one.register("m", "1.1.0", times(3), aliases=["canary"])
        await refusal(one.factor("m"), NotLoaded, "NOT_LOADED")
        assert numbers(await admin.load_model("m", "1.0.0")) == ["1.0.0"]
        assert await one.factor("m") == 2
        await refusal(one.factor("m", "canary"), NotLoaded, "NOT_LOADED", "1.1.0")
        await admin.load_model("m", "canary")
        assert await one.factor("m", "canary") == 3
        async with calling(one, "m", 2):
            await registry.set_alias("m", "canary", "1.0.0")
            await eventually(lambda: one.serves("m", 2, "canary"), within_s=1)
        assert await one.factor("m", "1.1.0") == 3, "nobody said that it should go"
        await registry.set_alias("m", "stable", "1.1.0")
        await eventually(lambda: one.serves("m", 3), within_s=1)
        assert numbers(await admin.unload_model("m", "1.0.0")) == ["1.1.0"]
        assert await one.factor("m") == 3


async def test_a_version_that_cannot_be_loaded_leaves_what_served(one: Place):
    """Its file is damaged or gone since it was examined: calls go on to the old one, and the index says why."""
    registry = one.client.registry
    await one.register("kept", "1.0.0", times(2.5))
    await one.register("kept", "1.1.0", times(3.5))
    await eventually(lambda: one.serves("kept", 2.5))
    digest = sha256(times(3.5))
    file = one.folder / "state" / "artifacts" / "sha256" / digest[:2] / digest[2:]
    content = file.read_bytes()
    for damage, words in ((content[:-1] + bytes([content[-1] ^ 1]), "sha256"), (None, "not in the artifact store")):
        file.unlink(missing_ok=True)
        if damage is not None:
            file.write_bytes(damage)
        async with one.undisturbed(), calling(one, "kept", 2.5):
            moved = await registry.set_alias("kept", "stable", "1.1.0")
            assert moved.aliases["stable"] == "1.1.0"
            await eventually(lambda words=words: _is_away(one, "kept", "2", words))
            error = await refusal(one.client.admin.load_model("kept"), DataLost, error_reason(damage))
            assert error.code is grpc.StatusCode.DATA_LOSS
            await registry.set_alias("kept", "stable", "1.0.0")
    await one.register("kept", "1.1.0", times(3.5))  # which brings the file back
    assert file.read_bytes() == content
    await registry.set_alias("kept", "stable", "1.1.0")
    await eventually(lambda: one.serves("kept", 3.5))


def error_reason(damage: bytes | None) -> str:
    return "ARTIFACT_MISSING" if damage is None else "HASH_MISMATCH"


async def _is_away(one: Place, model: str, number: str, words: str) -> bool:
    state, reason = (await one.index(model)).get(number, ("", ""))
    return state == "UNAVAILABLE" and words in reason


async def test_the_least_recently_used_version_makes_room(forks: Nursery, home: Path):
    """It comes back when it is called; what the operator named, and what is too large, leave the others alone."""
    async with sqlite_place(forks, home / "one", tables=SMALL) as one, one.undisturbed():
        for model, factor in (("a", 2), ("b", 3)):
            await one.register(model, "1.0.0", times(factor, padding=THREE_MIB))
            await eventually(lambda model=model, factor=factor: one.serves(model, factor))
        assert await one.factor("a") == 2, "used after b"
        await one.register("c", "1.0.0", times(4, padding=THREE_MIB))
        await eventually(lambda: one.serves("c", 4))
        assert (await one.serving("a"), await one.serving("b"), await one.serving("c")) == (["1"], [], ["1"])
        assert (await one.index("b"))["1"] == ("UNAVAILABLE", "unloaded to make room")
        error = await refusal(one.factor("b"), Unavailable, "LOADING", "being loaded")
        assert error.retry_after_s
        async with AsyncClient(one.server.address) as patient:
            assert (await patient.predict("b", ROW))["y"].tolist() == [[3, 6]]
        assert await one.serving("a") == [], "the one that waited longest for a call"
        await one.register("d", "1.0.0", times(5, padding=3 * THREE_MIB))
        await eventually(lambda: _is_away(one, "d", "1", "needs"))
        await refusal(one.client.admin.load_model("d"), Refused, "NO_MEMORY_BUDGET", "8388608")
        assert await one.factor("c") == 4
        assert await one.factor("b") == 3
