"""What is kept of rollouts, and what is in force because of it."""

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from serinus.core.errors import AlreadyExists, Conflict, InvalidInput, NotFound, Refused
from serinus.core.traffic import NO_TRAFFIC, Constant, FallbackPolicy, Traffic
from serinus.core.version import Version
from serinus.registry.records import Placement
from serinus.registry.registry import Registry
from serinus.registry.rollout_records import JournalEntry, LeaseRecord, RolloutRecord
from serinus.registry.rollouts import RolloutStore
from serinus.registry.sql.database import Database, open_database
from tests.registry.databases import clock, database, kind, url
from tests.registry.databases import registry as empty_registry
from tests.registry.drafts import Clock, draft
from tests.support.rollout_changes import GONE, NEW, OLD, change_to, end, mirrored, split_of, window

__all__ = ["clock", "database", "empty_registry", "kind", "url"]


@pytest.fixture
async def registry(empty_registry: Registry) -> Registry:
    """Holds m@1.0.0 (stable) and m@1.1.0; its revision is 2."""
    for version in ("1.0.0", "1.1.0"):
        await empty_registry.register(draft(version), actor="ann")
    return empty_registry


@pytest.fixture
def store(registry: Registry, database: Database, clock: Clock) -> RolloutStore:
    del registry  # its versions are what rollouts are of
    return RolloutStore(database, now=clock)


async def last_entry(registry: Registry) -> tuple[str, str, str, dict[str, Any], dict[str, Any]]:
    """Of the audit."""
    entry = (await registry.audit(0, limit=1000))[-1]
    return entry.actor, entry.action, entry.version, dict(entry.before), dict(entry.after)


async def test_a_rollout_begins_with_all_that_is_in_force(registry: Registry, store: RolloutStore, clock: Clock):
    """One revision: the rollout, its journal, the traffic of its model, the audit."""
    begun = await store.begin("r1", "m", change_to(500, event="started"), actor="ann", expected_revision=2)
    assert begun == RolloutRecord("r1", "m", "running", True, {"weight": 500}, clock.time, 3)
    assert await store.rollout("r1") == begun
    assert (await store.newest("m"), await store.active()) == (begun, [begun])
    model = await registry.model("m")
    assert (model.revision, model.aliases["stable"]) == (3, OLD)
    assert model.traffic == Traffic(split_of(500), None, "r1", (OLD, NEW))
    assert await store.journal("r1") == [
        JournalEntry(3, "r1", "m", 1, clock.time, "ann", "started", "running", "nothing is wrong", {"e": 0.5})
    ]
    assert await last_entry(registry) == (
        "ann",
        "rollout.start",
        "",
        {},
        {"rollout": "r1", "status": "running", "weights": {"1.1.0": 5.0, "1.0.0": 95.0}, "stable": "1.0.0"},
    )


async def test_a_rollout_moves_and_ends(registry: Registry, store: RolloutStore):
    """What was decided by hand beside it stays; in the end its model is its own again, with another stable version."""
    await registry.set_fallback("m", FallbackPolicy((Constant({"y": [0.0, 0.0]}),)), actor="bob")
    kept = (await registry.reset_breakers("m", actor="bob")).traffic
    begun = await store.begin("r1", "m", change_to(500), actor="ann")
    moved = await store.write("r1", change_to(5000), actor="robot", expected_revision=5, lease=None)
    assert moved == dataclasses.replace(begun, document={"weight": 5000}, revision=6)
    assert (await registry.model("m")).traffic == dataclasses.replace(
        kept, split=split_of(5000), rollout="r1", kept=(OLD, NEW)
    )
    await store.publish(window())
    over = await store.write(
        "r1", end("succeeded", stable=NEW, reason="all passed"), actor="robot", expected_revision=6, lease=None
    )
    assert (
        over
        == await store.rollout("r1")
        == dataclasses.replace(begun, status="succeeded", is_active=False, document={"weight": 0}, revision=7)
    )
    model = await registry.model("m")
    assert (model.traffic, model.aliases, model.revision) == (kept, {"stable": NEW}, 7)
    assert (await store.active(), await store.windows("r1")) == ([], [])
    assert [(entry.place, entry.number, entry.status) for entry in await store.journal("r1")] == [
        (5, 1, "running"),
        (6, 2, "running"),
        (7, 3, "succeeded"),
    ]
    assert await last_entry(registry) == (
        "robot",
        "rollout.succeeded",
        "1.1.0",
        {"rollout": "r1", "status": "running", "weights": {"1.1.0": 50.0, "1.0.0": 50.0}, "stable": "1.0.0"},
        {"rollout": "r1", "status": "succeeded", "weights": {}, "stable": "1.1.0"},
    )
    assert (await registry.verify_audit()).problem == ""


async def test_a_rollout_that_has_ended_owns_nothing(registry: Registry, store: RolloutStore):
    """Even if it says so: nobody could ever take the split back from it."""
    await store.begin("r1", "m", change_to(500), actor="ann")
    await store.write("r1", end("aborted", owns=True), actor="ann", expected_revision=3, lease=None)
    assert (await registry.model("m")).traffic == NO_TRAFFIC


async def test_a_model_has_one_rollout_at_a_time(registry: Registry, store: RolloutStore):
    """The refusal names the one there is; another begins when it has ended, under another id."""
    await store.begin("r1", "m", change_to(500), actor="ann")
    for rollout in ("r1", "r2"):
        with pytest.raises(
            Refused, match=r"rollout r1 of model 'm' is under way.*'serinus rollout abort r1'"
        ) as active:
            await store.begin(rollout, "m", change_to(500), actor="bob")
        assert active.value.reason == "ROLLOUT_ACTIVE"
    assert await registry.current_revision() == 3
    await store.write("r1", end("aborted"), actor="ann", expected_revision=3, lease=None)
    with pytest.raises(AlreadyExists, match="there is a rollout r1 already"):
        await store.begin("r1", "m", change_to(500), actor="bob")
    assert (await store.begin("r2", "m", change_to(500), actor="bob")).revision == 5
    assert await store.newest("m") == await store.rollout("r2")


@pytest.mark.parametrize(
    "change",
    [
        change_to(500, split=split_of(500, to=GONE)),
        change_to(500, split=mirrored(GONE)),
        change_to(500, kept=(GONE,)),
        change_to(500, stable=GONE),
        change_to(500, split=split_of(500, to=dataclasses.replace(NEW, version=Version(1, 2)))),
    ],
    ids=["arm", "mirror", "kept", "stable", "another version of that number"],
)
async def test_a_rollout_of_a_version_that_is_not_there_does_not_begin(registry, store, change):
    """Nothing is written."""
    with pytest.raises(NotFound, match=r"no version .* of model 'm' is registered"):
        await store.begin("r1", "m", change, actor="ann")
    assert (await registry.current_revision(), await store.active()) == (2, [])


async def test_a_rollout_of_a_version_that_was_unloaded_does_not_begin(registry: Registry, store: RolloutStore):
    """The refusal says what loads it."""
    await registry.place("m", "1.1.0", Placement.UNLOADED, actor="bob")
    with pytest.raises(Refused, match=r"m@1\.1\.0 was unloaded by hand.*'serinus models load m@1\.1\.0'") as refused:
        await store.begin("r1", "m", change_to(500), actor="ann")
    assert refused.value.reason == "NOT_LOADABLE"


async def test_a_rollout_begins_at_the_revision_that_its_operator_saw(registry: Registry, store: RolloutStore):
    """And of a model that is there."""
    await registry.set_tags("m", "1.0.0", changed={"a": "b"}, actor="bob")
    with pytest.raises(Conflict) as conflict:
        await store.begin("r1", "m", change_to(500), actor="ann", expected_revision=2)
    assert conflict.value.current_revision == 3
    with pytest.raises(NotFound, match="no model 'n' is registered"):
        await store.begin("r1", "n", change_to(500), actor="ann")


async def test_who_saw_another_revision_of_a_rollout_does_not_move_it(registry: Registry, store: RolloutStore):
    """The refusal says which it has; other changes of its model are none of it."""
    await store.begin("r1", "m", change_to(500), actor="ann")
    await registry.set_tags("m", "1.0.0", changed={"a": "b"}, actor="bob")
    await store.write("r1", change_to(1000), actor="robot", expected_revision=3, lease=None)
    for stale in (2, 3, 4, 6):
        with pytest.raises(Conflict, match=f"rollout r1 is at revision 5, not at {stale}") as conflict:
            await store.write("r1", change_to(5000), actor="robot", expected_revision=stale, lease=None)
        assert (conflict.value.current_revision, conflict.value.reason) == (5, "REVISION_MISMATCH")
    assert (await registry.model("m")).traffic.split == split_of(1000)


async def test_nothing_happens_to_a_rollout_that_has_ended(registry: Registry, store: RolloutStore):
    """The candidate's weight never comes back by itself."""
    await store.begin("r1", "m", change_to(500), actor="ann")
    await store.write("r1", end("rolled_back"), actor="robot", expected_revision=3, lease=None)
    with pytest.raises(Refused, match="rollout r1 has ended") as refused:
        await store.write("r1", change_to(500), actor="robot", expected_revision=4, lease=None)
    assert refused.value.reason == "ROLLOUT_ENDED"
    assert (await registry.model("m")).traffic == NO_TRAFFIC


async def test_a_version_that_is_gone_does_not_keep_a_rollout_from_ending(registry: Registry, store: RolloutStore):
    """It is not kept; a split can not name it."""
    await store.begin("r1", "m", change_to(0, split=None, kept=()), actor="ann")
    await registry.delete("m", Version(1, 1), actor="bob")
    with pytest.raises(NotFound, match=r"no version '1\.1\.0'"):
        await store.write("r1", change_to(500), actor="robot", expected_revision=3, lease=None)
    await store.write("r1", end("rolled_back", kept=(OLD, NEW)), actor="robot", expected_revision=3, lease=None)
    assert (await registry.model("m")).traffic == Traffic(kept=(OLD,))


async def test_texts_that_a_database_cannot_keep_are_kept_all_the_same(store: RolloutStore):
    """A reason is free text; words have a length."""
    change = change_to(500, reason="a\0b", event="e" * 40, numbers={"text": "a\0b"})
    await store.begin("r1", "m", change, actor="ann")
    await store.write("r1", change, actor="ann", expected_revision=3, lease=None)
    entry = (await store.journal("r1"))[-1]
    assert (entry.reason, entry.event, entry.numbers) == ("a\ufffdb", "e" * 32, {"text": "a\0b"})


async def test_fifty_writers_at_once_are_one_winner(registry: Registry, store: RolloutStore, url: str, clock: Clock):
    """Through two servers; all others are told where the rollout is now."""
    await store.begin("r1", "m", change_to(500), actor="ann")
    async with open_database(url, busy_timeout_s=30) as other:
        stores = (store, RolloutStore(other, now=clock))
        writes = [
            stores[number % 2].write("r1", change_to(number), actor=f"w{number}", expected_revision=3, lease=None)
            for number in range(50)
        ]
        answers = await asyncio.gather(*writes, return_exceptions=True)
    [winner] = [answer for answer in answers if isinstance(answer, RolloutRecord)]
    assert winner == await store.rollout("r1")
    conflicts = [answer for answer in answers if isinstance(answer, Conflict)]
    assert [conflict.current_revision for conflict in conflicts] == [4] * 49
    assert (await registry.model("m")).traffic.split == split_of(int(str(winner.document["weight"])))
    assert (await registry.verify_audit()).entries == 4


async def test_fifty_beginnings_at_once_are_one_rollout(registry: Registry, store: RolloutStore):
    """All others are refused, and name it."""
    begins = [store.begin(f"r{number}", "m", change_to(500), actor="ann") for number in range(50)]
    answers = await asyncio.gather(*begins, return_exceptions=True)
    [winner] = [answer for answer in answers if isinstance(answer, RolloutRecord)]
    refusals = [answer.message for answer in answers if isinstance(answer, Refused)]
    assert len(refusals) == 49
    assert all(f"rollout {winner.id} " in message for message in refusals)
    assert (await registry.model("m")).traffic.rollout == winner.id


async def test_rollouts_are_listed_newest_first_in_pages(registry: Registry, store: RolloutStore):
    """Of all models or of one; only those under way, if that is wanted."""
    await registry.register(draft("1.0.0", "n"), actor="ann")
    nothing = change_to(0, split=None, kept=())
    for number in range(3):
        begun = await store.begin(f"r{number}", "m", nothing, actor="ann")
        await store.write(f"r{number}", end("aborted"), actor="ann", expected_revision=begun.revision, lease=None)
    await store.begin("of-n", "n", nothing, actor="ann")
    first = await store.rollouts(limit=3)
    rest = await store.rollouts(page_token=first.next_token, limit=3)
    pages = [[record.id for record in page.items] for page in (first, rest)]
    assert (pages, rest.next_token) == ([["of-n", "r2", "r1"], ["r0"]], "")
    assert [record.id for record in (await store.rollouts("m")).items] == ["r2", "r1", "r0"]
    assert [record.id for record in (await store.rollouts(active=True)).items] == ["of-n"]
    assert (await store.rollouts("m", active=True)).items == ()
    assert await store.newest("elsewhere") is None
    with pytest.raises(InvalidInput, match="invalid page token"):
        await store.rollouts(page_token="x")


async def test_the_journals_of_all_rollouts_have_one_order(registry: Registry, store: RolloutStore):
    """So that a reader can go on where it was."""
    await registry.register(draft("1.0.0", "n"), actor="ann")
    assert (await store.last_place(), await store.journal_after(0)) == (0, [])
    nothing = change_to(0, split=None, kept=())
    await store.begin("r1", "m", nothing, actor="ann")
    await store.begin("r2", "n", nothing, actor="ann")
    await store.write("r1", nothing, actor="ann", expected_revision=4, lease=None)
    entries = await store.journal_after(0)
    assert [(entry.rollout, entry.model, entry.number) for entry in entries] == [
        ("r1", "m", 1),
        ("r2", "n", 1),
        ("r1", "m", 2),
    ]
    assert [entry.place for entry in entries] == sorted({entry.place for entry in entries})
    assert await store.last_place() == entries[-1].place
    assert await store.journal_after(entries[0].place, 1) == [entries[1]]


UNKNOWN: tuple[Callable[[RolloutStore, str], Awaitable[object]], ...] = (
    lambda store, rollout: store.rollout(rollout),
    lambda store, rollout: store.journal(rollout),
    lambda store, rollout: store.windows(rollout),
    lambda store, rollout: store.evidence(rollout),
    lambda store, rollout: store.save_evidence(rollout, {}, lease=LeaseRecord("s1", 1, 0)),
    lambda store, rollout: store.count_report(rollout, "x"),
    lambda store, rollout: store.write(rollout, change_to(0), actor="ann", expected_revision=1, lease=None),
)


@pytest.mark.parametrize("rollout", ["r9", "a\0b", "x" * 500])
async def test_an_unknown_rollout_is_named(store: RolloutStore, rollout: str):
    """In each call, whatever its id is."""
    for call in UNKNOWN:
        with pytest.raises(NotFound, match="there is no rollout") as unknown:
            await call(store, rollout)
        assert (unknown.value.reason, unknown.value.field) == ("UNKNOWN_ROLLOUT", "id")


async def test_a_rollout_needs_an_id_that_can_be_kept(store: RolloutStore):
    """It stands in commands."""
    for rollout in ("", "a b", "x" * 65):
        with pytest.raises(InvalidInput, match="invalid id of a rollout"):
            await store.begin(rollout, "m", change_to(0), actor="ann")


async def test_times_are_kept_to_the_microsecond(store: RolloutStore, clock: Clock):
    """In UTC, whatever the clock's zone is."""
    clock.time = dt.datetime(2026, 1, 1, 12, 0, 0, 123_456, dt.timezone(dt.timedelta(hours=5)))
    await store.begin("r1", "m", change_to(500), actor="ann")
    assert (await store.rollout("r1")).started_at.isoformat() == "2026-01-01T07:00:01.123456+00:00"
