"""What is kept of what runs cost, and that none of it is a change of the registry."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from serinus.registry.learned_costs import LearnedCostStore
from serinus.registry.registry import Registry
from serinus.registry.sql import cost_rows, tables
from serinus.registry.sql.database import Database
from tests.registry.databases import clock, database, kind, registry, url
from tests.registry.drafts import Clock, draft

__all__ = ["clock", "database", "kind", "registry", "url"]

ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def store(database: Database, clock: Clock) -> LearnedCostStore:
    return LearnedCostStore(database, machine="a" * 64, now=clock)


async def test_the_last_document_of_each_subject_is_kept(store: LearnedCostStore):
    """Each for itself; nothing is known of what was never written."""
    await store.write({ONE: {"points": [1]}, OTHER: {"points": [2]}})
    await store.write({ONE: {"points": [3]}})
    assert [await store.read(each) for each in (ONE, OTHER, "3" * 64)] == [{"points": [3]}, {"points": [2]}, None]


async def test_a_document_that_does_not_give_way_stays(store: LearnedCostStore):
    """Whoever writes is asked about each subject that is there, and about no other."""
    await store.write({ONE: {"points": [1]}})
    asked: list[tuple[str, object]] = []

    def gives_way(subject: str, known: Mapping[str, Any]) -> bool:
        asked.append((subject, known))
        return known != {"points": [1]}

    await store.write({ONE: {"points": [2]}, OTHER: {"points": [3]}}, gives_way=gives_way)
    assert [await store.read(each) for each in (ONE, OTHER)] == [{"points": [1]}, {"points": [3]}]
    await store.write({OTHER: {"points": [4]}}, gives_way=gives_way)
    assert await store.read(OTHER) == {"points": [4]}
    assert asked == [(ONE, {"points": [1]}), (OTHER, {"points": [3]})]


async def test_another_machine_knows_nothing_of_it(store: LearnedCostStore, database: Database, clock: Clock):
    """What a run costs here says little about there."""
    other = LearnedCostStore(database, machine="b" * 64, now=clock)
    await store.write({ONE: {"points": [1]}})
    assert await other.read(ONE) is None
    await other.write({ONE: {"points": [2]}})
    assert await store.read(ONE) == {"points": [1]}


async def test_costs_are_no_part_of_the_history(store: LearnedCostStore, registry: Registry):
    """No revision, no entry of the audit."""
    await registry.register(draft("1.0.0"), actor="ann")
    before = await registry.snapshot()
    await store.write({ONE: {"points": [1]}})
    assert (await registry.snapshot()).revision == before.revision
    assert (await registry.verify_audit()).problem == ""


async def test_the_oldest_go_where_they_are_too_many(store: LearnedCostStore, database: Database):
    """A row for every model that anybody has ever tried would be too many in the end."""
    long_ago = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    old = [
        {"subject": f"{number:064d}", "machine": "a" * 64, "document": {}, "at": long_ago + dt.timedelta(hours=number)}
        for number in range(cost_rows.MOST_ROWS)
    ]
    await database.write(lambda connection: connection.execute(sa.insert(tables.learned_costs), old))
    await store.write({ONE: {}})
    left = await database.read(
        lambda connection: connection.scalar(sa.select(sa.func.count()).select_from(tables.learned_costs))
    )
    assert left == cost_rows.MOST_ROWS
    assert [await store.read(f"{number:064d}") for number in (0, 1)] == [None, {}]
