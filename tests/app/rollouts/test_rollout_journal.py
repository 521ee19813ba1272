"""Rollouts in the registry's words and back."""

import asyncio
import logging

import pytest

from serinus.app.rollouts.journal import RegistryJournal
from serinus.core.errors import DataLost
from serinus.registry.registry import Registry
from serinus.registry.rollouts import RolloutStore
from serinus.registry.sql.database import open_database
from serinus.rollout.machine.effects import effects
from serinus.rollout.ports import Entry
from tests.registry.databases import migrated_url
from tests.registry.drafts import Clock, draft
from tests.support.rollout_changes import change_to
from tests.support.rollouts import begun


async def _read_twice(folder) -> tuple[list[list[str]], list[str]]:
    """Which rollouts are active and which are listed, beside one that nobody can read."""
    async with open_database(await migrated_url("sqlite", folder)) as database:
        registry, store = Registry(database, now=Clock()), RolloutStore(database, now=Clock())
        for model, version in (("m", "1.0.0"), ("m", "1.1.0"), ("n", "1.0.0")):
            await registry.register(draft(version, model), actor="ann")
        damaged = change_to(0, document={"format": 1}, split=None, kept=())
        await store.begin("damaged", "n", damaged, actor="ann")
        journal = RegistryJournal(store)
        rollout = begun()
        started = Entry("started", "preparing", "", {})
        await journal.begin(rollout, effects(rollout), started, actor="ann", expected_revision=None)
        with pytest.raises(DataLost):
            await journal.get("damaged")
        active = [[stored.rollout.id for stored in await journal.active()] for _ in range(2)]
        page = await journal.page("", active=True, page_token="", limit=10)
        return active, [stored.rollout.id for stored in page.items]


def test_a_rollout_that_cannot_be_read_hides_no_other(tmp_path, caplog):
    """It is left out of lists, and the log says so once."""
    caplog.set_level(logging.ERROR)
    assert asyncio.run(_read_twice(tmp_path)) == ([["r"], ["r"]], ["r"])
    assert len([record for record in caplog.records if "left out" in record.getMessage()]) == 1
