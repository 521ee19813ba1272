"""What a server that has not read its registry does with calls: never what a rollout decided before it stopped."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from serinus.core.traffic import Constant, FallbackPolicy, Traffic
from serinus.registry.following import Follower
from serinus.registry.records import ModelRecord, Snapshot
from serinus.registry.registry import Registry
from serinus.registry.rollouts import RolloutStore
from serinus.registry.saved_snapshot import SavedSnapshot
from serinus.registry.sql.audit import canonical_json
from serinus.registry.sql.database import Database, open_database
from tests.registry.databases import migrated_url
from tests.registry.drafts import Clock, draft
from tests.support.rollout_changes import NEW, OLD, change_to, split_of

POLICY = FallbackPolicy((Constant({"y": [0, 0.5]}),), budget=0.25)
BY_HAND = split_of(500, rollout="")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(await migrated_url("sqlite", tmp_path)) as opened:
        yield opened


@pytest.fixture
async def registry(database: Database) -> Registry:
    """Holds m@1.0.0 and 1.1.0 with a fallback, and the same of n with a split by hand."""
    made = Registry(database, now=Clock())
    for model in ("m", "n"):
        for version in ("1.0.0", "1.1.0"):
            await made.register(draft(version, model), actor="ann")
    await made.set_fallback("m", POLICY, actor="ann")
    await made.reset_breakers("m", actor="ann")
    return made


@pytest.fixture
def saved(tmp_path: Path) -> SavedSnapshot:
    return SavedSnapshot(tmp_path / "snapshot.json")


def read_again(saved: SavedSnapshot, snapshot: Snapshot) -> Snapshot:
    """What the next server finds."""
    saved.write(snapshot)
    found = saved.read()
    assert found is not None
    return found


def traffic_of(snapshot: Snapshot, model: str = "m") -> Traffic:
    found: ModelRecord = snapshot.models[model]
    return found.traffic


async def test_what_people_decided_is_restored(registry: Registry, saved: SavedSnapshot):
    """Splits, fallbacks and resets; the snapshot is as whole as it was."""
    await registry.set_split("m", BY_HAND, actor="ann")
    snapshot = await registry.snapshot()
    assert read_again(saved, snapshot) == snapshot
    assert traffic_of(snapshot) == Traffic(BY_HAND, POLICY, breaker_resets=1)


async def test_what_a_rollout_decided_is_not_restored(registry: Registry, database: Database, saved: SavedSnapshot):
    """Until the registry was read: it may have failed since. Then it is known again, although nothing was written."""
    await RolloutStore(database, now=Clock()).begin("r1", "m", change_to(500), actor="ann")
    snapshot = await registry.snapshot()
    restored = read_again(saved, snapshot)
    assert traffic_of(restored) == Traffic(fallback=POLICY, breaker_resets=1)
    assert (restored.revision, restored.is_whole) == (snapshot.revision, False)
    assert {name: model.versions for name, model in restored.models.items()} == {
        name: model.versions for name, model in snapshot.models.items()
    }
    fresh = await registry.refreshed(restored)
    assert fresh == snapshot
    assert fresh.models["m"].version[1] is restored.models["m"].version[1]
    assert traffic_of(fresh) == Traffic(split_of(500), POLICY, "r1", (OLD, NEW), breaker_resets=1)
    assert await registry.refreshed(fresh) is fresh


async def test_a_server_that_starts_hears_of_the_rollout(registry: Registry, database: Database, saved: SavedSnapshot):
    """As soon as it has read the registry."""
    await RolloutStore(database, now=Clock()).begin("r1", "m", change_to(500), actor="ann")
    follower = Follower(registry, database, known=read_again(saved, await registry.snapshot()))
    assert traffic_of(follower.snapshot).split is None
    task = asyncio.create_task(follower.run())
    with contextlib.suppress(asyncio.CancelledError):
        assert traffic_of(await asyncio.wait_for(follower.wait_until_read(), 10)).split == split_of(500)
        task.cancel()
        await task


def rewritten(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the models of a saved snapshot, as another program would have written it."""
    document = json.loads(file.read_bytes())
    for model in document["body"]["models"]:
        change(model)
    document["sha256"] = hashlib.sha256(canonical_json(document["body"]).encode()).hexdigest()
    file.write_text(json.dumps(document))


async def test_a_file_of_an_older_program_is_read(registry: Registry, saved: SavedSnapshot, tmp_path: Path):
    """It says nothing of traffic, so that the registry is asked."""
    snapshot = await registry.snapshot()
    saved.write(snapshot)
    rewritten(tmp_path / "snapshot.json", lambda model: model.pop("traffic"))
    restored = saved.read()
    assert restored is not None
    assert (traffic_of(restored), restored.is_whole) == (Traffic(), False)
    assert await registry.refreshed(restored) == snapshot


async def test_traffic_that_cannot_be_read_harms_nothing_else(registry: Registry, saved, tmp_path: Path, caplog):
    """The rest of the snapshot is used."""
    saved.write(await registry.snapshot())
    rewritten(tmp_path / "snapshot.json", lambda model: model.update(traffic={"split": 7}))
    restored = saved.read()
    assert restored is not None
    assert [traffic_of(restored, name) for name in ("m", "n")] == [Traffic()] * 2
    assert "traffic left out" in caplog.text
