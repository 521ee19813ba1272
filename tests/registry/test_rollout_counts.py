"""What servers say of a rollout while it is under way, and that none of it is a change of the registry."""

import asyncio

import pytest
import sqlalchemy as sa

from serinus.registry.registry import Registry
from serinus.registry.rollouts import RolloutStore
from serinus.registry.sql import tables
from serinus.registry.sql.database import Database, open_database
from tests.registry.databases import clock, database, kind, registry, url
from tests.registry.drafts import Clock, draft
from tests.support.rollout_changes import change_to, end, window

__all__ = ["clock", "database", "kind", "registry", "url"]


@pytest.fixture
async def store(registry: Registry, database: Database, clock: Clock) -> RolloutStore:
    """Holds a rollout of m@1.1.0 at revision 3."""
    for version in ("1.0.0", "1.1.0"):
        await registry.register(draft(version), actor="ann")
    made = RolloutStore(database, now=clock)
    await made.begin("r1", "m", change_to(500), actor="ann")
    return made


async def test_each_server_has_one_window(store: RolloutStore):
    """The last that it has published; those of a rollout that has ended, or never was, are not kept."""
    for beat in (1, 2):
        for server in ("s2", "s1"):
            await store.publish(window(server=server, beat=beat, exposures=beat))
    await store.publish(window("r2"))
    assert await store.windows("r1") == [window(server=server, beat=2, exposures=2) for server in ("s1", "s2")]
    await store.write("r1", end("aborted"), actor="ann", expected_revision=3, lease=None)
    await store.publish(window())
    assert await store.windows("r1") == []


async def test_servers_that_start_again_and_again_are_forgotten(store: RolloutStore, database: Database):
    """The oldest; one of them that lives after all is there again when it publishes the next time."""
    for server in ("s1", "s2"):
        await store.publish(window(server=server))
    table = tables.rollout_windows
    later = sa.update(table).where(table.c.server == "s2").values(number=1000)
    await database.write(lambda connection: connection.execute(later))
    await store.publish(window(server="s3"))
    assert await store.windows("r1") == [window(server=server) for server in ("s2", "s3")]
    await store.publish(window(server="s1"))
    assert await store.windows("r1") == [window(server=server) for server in ("s1", "s2", "s3")]


async def test_a_window_that_cannot_be_read_harms_no_other(store: RolloutStore, database: Database, caplog):
    """A server of another program may have written it."""
    for server in ("s1", "s2"):
        await store.publish(window(server=server))
    table = tables.rollout_windows
    spoil = sa.update(table).where(table.c.server == "s1").values(document={"beat": 1})
    await database.write(lambda connection: connection.execute(spoil))
    assert await store.windows("r1") == [window(server="s2")]
    assert "window left out" in caplog.text


async def test_what_is_no_change_of_the_registry_leaves_it_alone(registry: Registry, store: RolloutStore):
    """Followers find nothing new, and the audit is the same chain."""
    snapshot = await registry.snapshot()
    lease = await store.take_lease("s1", seen=None)
    assert lease is not None
    await store.publish(window())
    await store.save_evidence("r1", {"a": 1}, lease=lease)
    await store.beat_lease(lease)
    await store.count_report("r1", "x")
    await store.mark_delivered("hook", 3)
    await store.leave_lease(lease)
    assert await registry.refreshed(snapshot) is snapshot
    found = await registry.verify_audit()
    assert (found.problem, found.entries) == ("", 3)


async def test_a_hook_is_told_each_entry_once(store: RolloutStore):
    """What it was told never becomes less; hooks know nothing of each other."""
    url = f"https://example.org/{'x' * 2000}"
    assert await store.delivered(url) is None
    for place, told in ((5, 5), (7, 7), (6, 7)):
        await store.mark_delivered(url, place)
        assert await store.delivered(url) == told
    await store.mark_delivered("other", 1)
    assert (await store.delivered(url), await store.delivered("other")) == (7, 1)


async def test_a_report_counts_once(store: RolloutStore, url: str, clock: Clock):
    """On whichever server, whatever its name holds; nothing counts once the rollout has ended."""
    async with open_database(url) as database:
        other = RolloutStore(database, now=clock)
        answers = await asyncio.gather(
            *(each.count_report("r1", report) for each in (store, other, store) for report in ("a", "b\0"))
        )
    assert sorted(answers) == [False] * 4 + [True] * 2
    await store.write("r1", end("aborted"), actor="ann", expected_revision=3, lease=None)
    assert not await store.count_report("r1", "c")


async def test_the_oldest_reports_are_forgotten(store: RolloutStore, database: Database):
    """As many are remembered as fit."""
    await store.count_report("r1", "first")
    table = tables.metric_reports
    await database.write(
        lambda connection: connection.execute(sa.insert(table).values(rollout="r1", report="f" * 64, number=100_000))
    )
    assert not await store.count_report("r1", "first")
    assert await store.count_report("r1", "one more")
    assert await store.count_report("r1", "first")
    numbers = await database.read(lambda connection: connection.execute(sa.select(table.c.number)))
    assert sorted(numbers.scalars()) == [100_000, 100_001, 100_002]
