"""That two controllers can never both act, whatever they believe and whenever they act."""

import asyncio
import dataclasses
from pathlib import Path
from random import Random

import pytest

from serinus.core.errors import Conflict
from serinus.registry.registry import Registry
from serinus.registry.rollout_records import LeaseRecord
from serinus.registry.rollouts import RolloutStore
from serinus.registry.sql.database import Database, open_database
from tests.registry.databases import clock, database, kind, migrated_url, registry, url
from tests.registry.drafts import Clock, draft
from tests.support.rollout_changes import change_to

__all__ = ["clock", "database", "kind", "registry", "url"]


@pytest.fixture
async def store(registry: Registry, database: Database, clock: Clock) -> RolloutStore:
    """Holds a rollout at revision 3."""
    made = RolloutStore(database, now=clock)
    await begin(registry, made, "m", "r1")
    return made


async def begin(registry: Registry, store: RolloutStore, model: str, rollout: str) -> None:
    """A rollout of a model of its own."""
    for version in ("1.0.0", "1.1.0"):
        await registry.register(draft(version, model), actor="ann")
    await store.begin(rollout, model, NOTHING, actor="ann")


NOTHING = change_to(0, split=None, kept=())


async def taken(store: RolloutStore, holder: str, seen: LeaseRecord | None = None) -> LeaseRecord:
    """A lease that nobody else wants."""
    lease = await store.take_lease(holder, seen=seen)
    assert lease is not None
    return lease


async def test_a_lease_is_taken_beaten_and_left(store: RolloutStore):
    """Its fence rises with each holder, and stays when it is given back."""
    assert await store.lease() is None
    first = await taken(store, "s1")
    assert first == await store.lease() == LeaseRecord("s1", 1, 0)
    assert await store.beat_lease(first) == await store.lease() == LeaseRecord("s1", 1, 1)
    await store.leave_lease(first)
    assert await store.lease() is None
    assert await taken(store, "s1") == LeaseRecord("s1", 2, 0)


async def test_a_lease_that_beats_is_not_taken(store: RolloutStore):
    """Only who has seen its last beat may; and of many who have, one does."""
    first = await taken(store, "s1")
    assert await store.take_lease("s2", seen=None) is None
    beaten = await store.beat_lease(first)
    assert await store.take_lease("s2", seen=first) is None
    answers = await asyncio.gather(*(store.take_lease(f"s{number}", seen=beaten) for number in range(2, 12)))
    [winner] = [answer for answer in answers if answer is not None]
    assert (winner, winner.fence) == (await store.lease(), 2)


async def test_who_has_lost_the_lease_can_do_nothing_with_it(registry: Registry, store: RolloutStore):
    """Neither write, nor keep evidence, nor beat, nor give back what is another's."""
    old = await taken(store, "s1")
    await store.save_evidence("r1", {"of": "s1"}, lease=old)
    new = await taken(store, "s2", old)
    assert await store.beat_lease(old) is None
    await store.leave_lease(old)
    for write in (
        store.write("r1", NOTHING, actor="s1", expected_revision=3, lease=old),
        store.write("r1", NOTHING, actor="s1", expected_revision=2, lease=old),
        store.save_evidence("r1", {"of": "s1 again"}, lease=old),
    ):
        with pytest.raises(Conflict) as lost:
            await write
        assert (lost.value.reason, lost.value.current_revision) == ("LEASE_LOST", 3)
    assert (await store.lease(), await store.evidence("r1")) == (new, {"of": "s1"})
    assert await registry.current_revision() == 3
    await store.save_evidence("r1", {"of": "s2"}, lease=new)
    assert (await store.write("r1", NOTHING, actor="s2", expected_revision=3, lease=new)).revision == 4
    assert await store.evidence("r1") == {"of": "s2"}


async def test_a_lease_that_was_taken_back_is_another_one(store: RolloutStore):
    """The same server, for a second time: what it began in the first is refused."""
    first = await taken(store, "s1")
    second = await taken(store, "s1", await taken(store, "s2", first))
    assert second.fence == 3
    with pytest.raises(Conflict):
        await store.write("r1", NOTHING, actor="s1", expected_revision=3, lease=first)


async def test_a_person_needs_no_lease(store: RolloutStore):
    """A command is written whoever controls; the controller that did not see it is told."""
    lease = await taken(store, "s1")
    await store.write("r1", NOTHING, actor="ann", expected_revision=3, lease=None)
    with pytest.raises(Conflict) as conflict:
        await store.write("r1", NOTHING, actor="s1", expected_revision=3, lease=lease)
    assert (conflict.value.reason, conflict.value.current_revision) == ("REVISION_MISMATCH", 4)


class Controller:
    """A server that does the next thing at a random moment, by what it saw last and however long ago that was."""

    def __init__(self, store: RolloutStore, name: str, rng: Random) -> None:
        self.store = store
        self.name = name
        self.rng = rng
        self.seen: LeaseRecord | None = None
        self.held: LeaseRecord | None = None
        self.written = 0
        self.refused = 0

    async def act(self) -> None:
        """One thing."""
        match self.rng.choice(("look", "take", "beat", "leave", "write", "write", "write")):
            case "look":
                self.seen = await self.store.lease()
            case "take":
                # Without a wait: as if every other server were believed dead all the time.
                self.held = await self.store.take_lease(self.name, seen=self.seen) or self.held
            case "beat" if self.held is not None:
                # What it answers is ignored: this controller never learns that it has lost.
                await self.store.beat_lease(self.held)
            case "leave" if self.held is not None and self.rng.random() < 0.3:
                await self.store.leave_lease(self.held)
            case "write" if self.held is not None:
                await self.write(self.held)

    async def write(self, held: LeaseRecord) -> None:
        """Move the rollout; what is written says under which lease."""
        record = await self.store.rollout("r")
        for _ in range(self.rng.randrange(30)):
            await asyncio.sleep(0)
        change = dataclasses.replace(NOTHING, numbers={"fence": held.fence, "holder": self.name})
        try:
            await self.store.write("r", change, actor=self.name, expected_revision=record.revision, lease=held)
        except Conflict as conflict:
            self.refused += conflict.reason == "LEASE_LOST"
        else:
            self.written += 1

    async def run(self, steps: int) -> None:
        """Several things, one after the other."""
        for _ in range(steps):
            for _ in range(self.rng.randrange(30)):
                await asyncio.sleep(0)
            await self.act()


@pytest.mark.parametrize(("kind", "seeds"), [("sqlite", 12), ("postgresql", 6)])
async def test_an_old_holder_never_writes(kind: str, seeds: int, tmp_path: Path):
    """Three controllers on two servers, none of which waits or listens; the order of writes shows who had the lease.

    Every lease that was ever given is written down by the journal's numbers: fences never fall from one write to the
    next, and each belongs to one holder.
    """
    written = refused = 0
    for seed in range(seeds):
        folder = tmp_path / str(seed)
        folder.mkdir()
        url = await migrated_url(kind, folder)
        async with open_database(url, busy_timeout_s=30) as one, open_database(url, busy_timeout_s=30) as other:
            stores = [RolloutStore(each, now=Clock()) for each in (one, other)]
            await begin(Registry(one, now=Clock()), stores[0], "m", "r")
            rng = Random(seed)
            controllers = [Controller(stores[number % 2], f"s{number}", Random(rng.random())) for number in range(3)]
            await asyncio.gather(*(controller.run(25) for controller in controllers))
            written += sum(controller.written for controller in controllers)
            refused += sum(controller.refused for controller in controllers)
            await assert_fenced(stores[0], one)
    # Otherwise the interleavings would show little.
    assert min(written, refused) > 20


async def assert_fenced(store: RolloutStore, database: Database) -> None:
    audit = await Registry(database, now=Clock()).audit(0, model="m", limit=1000)
    journal = (await store.journal("r"))[1:]
    assert [entry.place for entry in journal] == [entry.revision for entry in audit][3:]
    by_place = [entry.numbers for entry in journal]
    fences = [int(str(numbers["fence"])) for numbers in by_place]
    assert fences == sorted(fences)
    assert len({(numbers["fence"], numbers["holder"]) for numbers in by_place}) == len(set(fences))
