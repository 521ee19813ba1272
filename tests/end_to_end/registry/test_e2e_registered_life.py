"""The life of a model: registered, called by every name, followed up, moved, archived, deleted, all on one server."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc.aio as triton

from serinus_client import NO_RETRIES, AlreadyExists, AsyncClient, NotFound, Refused
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import PAUSE_S, ROW, Place, eventually, golden, refusal, sqlite_place, times
from tests.support.invariants import SECRET

FACTS = """
description: Doubles.
framework: by hand
author: ann
license: Apache-2.0
metrics: {accuracy: 0.75}
tags: {team: blue, purpose: tests}
training_data_hash: md5:d41d8cd98f00b204e9800998ecf8427e
card: |
  ## Caveats
  Doubles, and nothing else.
"""


@pytest.fixture(scope="module")
async def one(forks: Nursery, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A server that all tests of this file use."""
    async with sqlite_place(forks, tmp_path_factory.mktemp(SECRET) / "one") as made:
        yield made


async def test_a_registered_version_serves_under_every_name_of_it(one: Place):
    """With facts, golden requests and tags, and for Triton's clients as well."""
    async with one.undisturbed():
        done = await one.register(
            "named", "1.0.0", times(2), facts=FACTS, goldens=[one.file(golden(2), "one.npz")], aliases=["first"]
        )
        await eventually(lambda: one.serves("named", 2))
        for version in ("", "stable", "first", "latest", "^1", "1.0.0", "=1.0.0", ">=1 <2", "1"):
            assert await one.factor("named", version) == 2, version
        for version in ("^2", "2", "2.0.0", "nobody"):
            await refusal(one.factor("named", version), NotFound, "NOT_FOUND", "1.0.0")
        async with triton.InferenceServerClient(one.server.address) as client:
            given = triton.InferInput("x", [1, 2], "FP32").set_data_from_numpy(ROW["x"])
            answer = await client.infer("named", [given], model_version="1")
            assert answer.as_numpy("y").tolist() == [[2, 4]]
            assert (await client.get_model_metadata("named")).versions == ["1"]
    version = done.version
    assert (done.created, version.version, version.version_number) == (True, "1.0.0", 1)
    assert (dict(version.tags), dict(version.metrics)) == ({"team": "blue", "purpose": "tests"}, {"accuracy": 0.75})
    assert sorted(version.aliases) == ["first", "stable"]
    assert [(each.name, each.max_difference) for each in version.goldens] == [("goldens/one.npz", 0.0)]
    status = await one.client.admin.server_status()
    assert [each.version for each in status.models if each.model == "named"] == ["1.0.0"]


async def test_the_same_again_is_done_already_and_other_bytes_are_refused(one: Place):
    """Rows 68 and 69: a version never changes, and saying the same twice is saying it once."""
    first = await one.register("same", "1.0.0", times(2), facts="author: ann")
    again = await one.register("same", "1.0.0", times(2), facts="author: ann")
    assert (again.created, again.version, again.revision) == (False, first.version, first.revision)
    await refusal(one.register("same", "1.0.0", times(3)), AlreadyExists, "ALREADY_EXISTS", "same@1.0.0", "files")
    await refusal(
        one.register("same", "1.0.0", times(2), facts="author: bob"), AlreadyExists, "ALREADY_EXISTS", "other facts"
    )
    (entry,) = [each async for each in one.client.admin.list_audit(model="same")]
    assert entry.revision == first.revision
    await eventually(lambda: one.serves("same", 2))
    assert await one.client.registry.download("same", "", "", one.folder / "same.onnx")
    assert (one.folder / "same.onnx").read_bytes() == times(2)


async def test_moving_stable_takes_effect_at_once_and_costs_no_call(one: Place):
    """Calls go on all the while: none fails, and after the move none is answered by the old version."""
    await one.register("moved", "1.0.0", times(2))
    await one.register("moved", "1.1.0", times(3), aliases=["canary"])
    await eventually(lambda: one.serves("moved", 3, "canary"))
    assert await one.factor("moved") == 2
    over, answers, wanted = asyncio.Event(), [], {2.0, 3.0}

    async def call() -> None:
        async with AsyncClient(one.server.address, retry=NO_RETRIES) as client:
            while not over.is_set():
                allowed = wanted
                answer = await client.predict("moved", ROW)
                answers.append((float(answer["y"][0, 0]), allowed | wanted))
                await asyncio.sleep(PAUSE_S / 4)

    callers = [asyncio.create_task(call()) for _ in range(2)]
    try:
        for round_ in range(6):
            factor, version = (3, "1.1.0") if round_ % 2 == 0 else (2, "1.0.0")
            wanted = {2.0, 3.0}
            await one.client.registry.set_alias("moved", "stable", version)
            await eventually(lambda factor=factor: one.serves("moved", factor), within_s=1)
            # Calls that begin once it was seen to serve, and before the next move, are the new version's.
            wanted, begun = {float(factor)}, len(answers)
            await eventually(lambda begun=begun: _are_more(answers, begun + 8))
    finally:
        over.set()
        await asyncio.gather(*callers)  # which raises if a single call failed
    assert [found for found, allowed in answers if found not in allowed] == []
    assert {found for found, _ in answers} == {2, 3}
    assert await one.serving("moved") == ["1", "2"]


async def _are_more(answers: list[Any], count: int) -> bool:
    return len(answers) >= count


async def test_a_new_stable_version_takes_over_within_a_second_of_its_load(one: Place):
    """The alias is given with the registration: what serves goes on until the new version is loaded."""
    await one.register("taken-over", "1.0.0", times(2))
    await eventually(lambda: one.serves("taken-over", 2))
    seen: list[float] = []
    async with one.undisturbed():
        registering = asyncio.create_task(one.register("taken-over", "1.1.0", times(3), aliases=["stable"]))
        while not registering.done():
            seen.append(await one.factor("taken-over"))
            await asyncio.sleep(PAUSE_S)
        took_s = await eventually(lambda: one.serves("taken-over", 3), within_s=5)
    assert set(seen) <= {2.0, 3.0}
    assert seen == sorted(seen), "no way back"
    assert took_s < 1
    await eventually(lambda: _serve(one, "taken-over", ["2"]))


async def _serve(one: Place, model: str, numbers: list[str]) -> bool:
    return await one.serving(model) == numbers


async def test_a_version_is_archived_and_deleted_only_when_nobody_needs_it(one: Place):
    """Row 78: what an alias names is in use; what is deleted is gone for good, and its number with it."""
    registry = one.client.registry
    await one.register("mortal", "1.0.0", times(2))
    await one.register("mortal", "1.1.0", times(3), aliases=["canary"])
    await eventually(lambda: one.serves("mortal", 3, "canary"))
    async with one.undisturbed():
        error = await refusal(registry.delete("mortal", "1.1.0"), Refused, "IN_USE", "canary names it")
        assert error.code.name == "FAILED_PRECONDITION"
        assert (await registry.archive("mortal", "1.1.0")).state == 2
        assert [each.version async for each in registry.versions("mortal")] == ["1.0.0"]
        assert await one.factor("mortal", "canary") == 3, "an alias names it: it serves"
        await registry.remove_alias("mortal", "canary")
        await eventually(lambda: _serve(one, "mortal", ["1"]))
        await registry.delete("mortal", "1.1.0")
        await refusal(registry.version("mortal", "1.1.0"), NotFound, "UNKNOWN_VERSION", "1.0.0")
        await refusal(one.register("mortal", "1.1.0", times(3)), AlreadyExists, "ALREADY_EXISTS", "was deleted")
        await eventually(lambda: _index_is(one, "mortal", {"1": ("READY", "")}))
        third = await one.register("mortal", "1.2.0", times(4))
        assert third.version.version_number == 3


async def _index_is(one: Place, model: str, wanted: dict[str, tuple[str, str]]) -> bool:
    return await one.index(model) == wanted


async def test_the_card_says_what_is_known(one: Place):
    """Generated from the facts, the signature and the golden requests; the author's own section stays."""
    registry = one.client.registry
    await one.register("carded", "1.0.0", times(2), facts=FACTS, goldens=[one.file(golden(2), "two.npz")])
    await registry.set_card_notes("carded", "stable", "Looked at by bob.")
    card = await registry.card("carded")
    assert card.version == "1.0.0"
    for words in ("carded", "Doubles.", "Apache-2.0", "accuracy", "0.75", "Caveats", "Looked at by bob.", "FP32"):
        assert words in card.markdown, words
    assert SECRET not in card.markdown


async def test_what_is_downloaded_is_what_was_registered(one: Place):
    """Every file of the bundle, larger than a message, in pieces."""
    folder = one.folder / "bundle"
    folder.mkdir()
    content = times(2, padding=1_500_000)
    (folder / "model.onnx").write_bytes(content)
    (folder / "labels.txt").write_text("one\ntwo\n")
    await one.client.registry.register("fetched", folder, "1.0.0")
    target = one.folder / "fetched"
    target.mkdir()
    for path in ("", "labels.txt"):
        await one.client.registry.download("fetched", "^1", path, target)
    assert hashlib.sha256((target / "model.onnx").read_bytes()).digest() == hashlib.sha256(content).digest()
    assert (target / "labels.txt").read_text() == "one\ntwo\n"
    assert sorted(each.name for each in target.iterdir()) == ["labels.txt", "model.onnx"]
    await refusal(
        one.client.registry.download("fetched", "", "../../etc/passwd", target), NotFound, "NOT_FOUND", "no file"
    )


async def test_a_watcher_sees_each_change_once_and_in_order(one: Place):
    """Those made before it came, and those made while it watches."""
    registry = one.client.registry
    await one.register("watched", "1.0.0", times(2))
    seen: list[Any] = []
    watching = asyncio.create_task(_watch(one, seen, 12))
    await registry.set_tags("watched", "", {"a": "1"})
    for number in range(5):
        await registry.set_alias("watched", f"name{number}", "stable")
        await registry.set_tags("watched", "stable", {"round": str(number)})
    async with asyncio.timeout(20):
        await watching
    actions = [each.action for each in seen]
    assert actions == ["version.register", "tags.set", *["alias.set", "tags.set"] * 5]
    revisions = [each.revision for each in seen]
    assert revisions == sorted(set(revisions))
    assert all(isinstance(json.loads(each.after_json), dict) for each in seen)
    assert {each.model for each in seen} == {"watched"}
    audit = [(each.revision, each.action) async for each in one.client.admin.list_audit(model="watched")]
    assert audit == list(zip(revisions, actions, strict=True))


async def _watch(one: Place, seen: list[Any], count: int) -> None:
    async with AsyncClient(one.server.address, retry=NO_RETRIES) as client:
        async for change in client.registry.watch(model="watched"):
            seen.append(change)
            if len(seen) == count:
                return


async def test_nothing_in_the_log_is_an_error(one: Place):
    """Comes last: all that this file did was ordinary."""
    assert [event for event in one.server.events() if event["level"] == "error"] == []
    assert not list((Path(one.folder) / "state" / "staging").glob("*/*")), "no upload is under way"
