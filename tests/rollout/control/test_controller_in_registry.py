"""Rollouts in a real database: the journal that servers use, and the controller that moves them."""

import asyncio
from pathlib import Path

from serinus.app.rollouts.journal import RegistryJournal
from serinus.app.rollouts.versions import RolloutVersions
from serinus.config.rollout_spec import RolloutSpec
from serinus.core.windows import ServerWindow
from serinus.registry.registry import Registry
from serinus.registry.rollouts import RolloutStore
from serinus.registry.sql.database import open_database
from serinus.rollout.control.controller import Controller
from serinus.rollout.operators.rollouts import Rollouts
from serinus.rollout.operators.watching import Watching
from serinus.rollout.ports import Stored
from serinus.rollout.view import RolloutView
from tests.registry.databases import migrated_url
from tests.registry.drafts import Clock, draft
from tests.support.fleet import FakeHalts, FakeMetrics, FakeServer, Manners
from tests.support.rollouts import CANDIDATE

STAGES = [
    {"shadow": {"percent": 50, "min_s": 2, "min_pairs": 100}},
    {"canary": {"weight": 50, "min_s": 2, "min_requests": 100}},
    {"canary": {"weight": 100, "min_s": 2, "min_requests": 100}},
]
SPEC = RolloutSpec.model_validate({"model": "m", "candidate": "1.1.0", "stages": STAGES})


class Relay:
    """What a server has heard of a rollout, and what it says; carried to the database and back by hand."""

    def __init__(self, stored: Stored) -> None:
        self.steps: list[str] = []
        self.said: list[ServerWindow] = []
        self._heard = stored

    def _stored(self, _: str) -> Stored:
        return self._heard

    def publish(self, window: ServerWindow) -> None:
        self.said.append(window)

    async def carry(self, store: RolloutStore, journal: RegistryJournal) -> None:
        for window in self.said:
            await store.publish(window)
        self.said.clear()
        self._heard = await journal.get(self._heard.rollout.id)


async def play(folder: Path, manners: Manners) -> tuple[str, RolloutView, list[str]]:
    """What is stable after a rollout whose candidate behaves so, how it is shown, and what its journal says."""
    async with open_database(await migrated_url("sqlite", folder)) as database:
        now = Clock()
        registry, store = Registry(database, now=now), RolloutStore(database, now=now)
        for version in ("1.0.0", "1.1.0"):
            await registry.register(draft(version), actor="ann")
        journal, metrics, at = RegistryJournal(store), FakeMetrics(), 0.0
        rollouts = Rollouts(
            journal,
            versions=RolloutVersions(registry),
            metrics=metrics,
            clock=lambda: at,
            new_id=lambda: "r",
            new_salt=lambda: "salt",
        )
        begun = await rollouts.start(SPEC, actor="ann", expected_revision=None)
        relay = Relay(begun.stored)
        server = FakeServer(relay, "s1")
        server.manners[CANDIDATE.number] = manners
        controller = Controller(
            journal,
            FakeHalts(relay, server),
            server="s1",
            clock=lambda: at,
            monotonic=lambda: at,
            metrics=metrics,
            interval_s=1.0,
            lost_after_s=10.0,
            has_active=lambda: True,
        )
        watching = Watching(journal, clock=lambda: at, monotonic=lambda: at, interval_s=1.0)
        for _ in range(30):
            at += 1.0
            server.tick()
            await relay.carry(store, journal)
            await controller.look()
            if (await watching.get("r")).stored.rollout.has_ended:
                break
        model = await registry.model("m")
        ended = await watching.get("r")
        assert model.traffic.rollout == ""
        assert model.traffic.split is None
        assert ended.verdict is not None
        assert (await registry.verify_audit()).first_broken == 0
        return model.aliases["stable"].version_text, ended, [entry.event for entry in await store.journal("r")]


def test_a_good_candidate_is_stable_in_the_end(tmp_path):
    """Through every stage, on a real journal; its split is gone with the rollout."""
    stable, ended, events = asyncio.run(play(tmp_path, Manners()))
    assert (stable, events) == ("1.1.0", ["started", "prepared", "measured", "stage", "stage", "succeeded"])
    assert ended.arms[1].total_exposures > 0


def test_a_bad_candidate_leaves_stable_as_it_was(tmp_path):
    """It is out, and what it had got of the calls is known."""
    stable, ended, events = asyncio.run(play(tmp_path, Manners(errors=0.5)))
    assert (stable, events[-2:]) == ("1.0.0", ["failing", "rolled_back"])
    assert ended.arms[1].total_exposures > 0
