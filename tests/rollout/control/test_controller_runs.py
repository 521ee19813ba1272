"""The controller as a task: what trouble costs, what it says about it, and how it leaves."""

import asyncio
import dataclasses
import logging
from collections.abc import Sequence

from serinus.core.errors import StoreUnavailable
from serinus.core.windows import ServerWindow
from serinus.rollout.rollout import Status
from tests.support.fake_journal import FakeJournal
from tests.support.fleet import Fleet
from tests.support.rollouts import begun
from tests.support.virtual_loop import virtual

FIVE = {"canary": {"weight": 5, "min_s": 5, "max_s": 600, "min_requests": 100}}
WHOLE = {"canary": {"weight": 100, "min_s": 5, "max_s": 600, "min_requests": 100}}


def fleet_of() -> Fleet:
    journal = FakeJournal()
    journal.add(begun(FIVE, WHOLE))
    return Fleet(journal)


async def live(fleet: Fleet, seconds: int) -> None:
    """Let the fleet serve beside whatever runs."""
    for _ in range(seconds):
        fleet.tick()
        await asyncio.sleep(1)


async def end(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait([task])


@virtual
async def test_a_rollout_outlives_a_database_that_is_away(caplog):
    """Nothing moves meanwhile, the log says so once, and it goes on from where it stood."""
    caplog.set_level(logging.INFO)
    fleet = fleet_of()
    task = asyncio.create_task(fleet.controller().run())
    await live(fleet, 4)
    assert fleet.journal.events == ["prepared", "measured"]

    def away(_: str) -> None:
        raise StoreUnavailable("the database is away")

    fleet.journal.reach = away
    await live(fleet, 60)
    assert fleet.journal.events == ["prepared", "measured"]
    fleet.journal.reach = lambda _: None
    await live(fleet, 40)
    assert fleet.journal.events == ["prepared", "measured", "stage", "succeeded"]
    messages = [record.getMessage() for record in caplog.records]
    assert sum("not looked at" in message for message in messages) == 1
    assert sum("looked at again" in message for message in messages) == 1
    await end(task)


class JournalWithAHole(FakeJournal):
    """Never answers what servers say of the rollout "r"."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def windows(self, rollout: str) -> Sequence[ServerWindow]:
        """Wait for ever, or what servers have said."""
        self.asked.append(rollout)
        if rollout == "r":
            await asyncio.Event().wait()
        return await super().windows(rollout)


@virtual
async def test_a_rollout_that_is_never_answered_holds_up_others_once():
    """Its look is given up with the turn; in the next one it comes last."""
    journal = JournalWithAHole()
    for name in ("r", "q", "p"):
        journal.add(dataclasses.replace(begun(FIVE, WHOLE), id=name))
    task = asyncio.create_task(Fleet(journal).controller().run())
    await asyncio.sleep(15)
    assert journal.asked == ["r", "q", "p", "r"]
    await end(task)


@virtual
async def test_a_database_that_does_not_answer_holds_it_up_for_a_bounded_time():
    """A look is given up, and the next one goes on."""
    fleet = fleet_of()
    fleet.journal.delay = lambda: 1000.0
    task = asyncio.create_task(fleet.controller().run())
    await live(fleet, 30)
    fleet.journal.delay = lambda: 0.0
    await live(fleet, 40)
    assert fleet.journal.now().status is Status.SUCCEEDED
    await end(task)


@virtual
async def test_a_bug_in_a_look_ends_no_controlling():
    """It is logged, and tried again."""
    fleet = fleet_of()

    def broken(point: str) -> None:
        if point == "active":
            raise ZeroDivisionError

    fleet.journal.reach = broken
    task = asyncio.create_task(fleet.controller().run())
    await live(fleet, 10)
    fleet.journal.reach = lambda _: None
    await live(fleet, 40)
    assert fleet.journal.now().status is Status.SUCCEEDED
    await end(task)


@virtual
async def test_who_leaves_makes_room_at_once():
    """The lease is given back; the next controller need not wait until this one is taken for dead."""
    fleet = fleet_of()
    controller = fleet.controller()
    task = asyncio.create_task(controller.run())
    await live(fleet, 2)
    assert controller.is_controlling
    await end(task)
    assert (controller.is_controlling, fleet.journal.holder) == (False, "")


@virtual
async def test_leaving_waits_for_no_database():
    """It does not answer: the lease runs out by itself."""
    fleet = fleet_of()
    task = asyncio.create_task(fleet.controller().run())
    await live(fleet, 2)
    fleet.journal.delay = lambda: 1000.0
    before = asyncio.get_running_loop().time()
    await end(task)
    assert asyncio.get_running_loop().time() - before <= 1.5


@virtual
async def test_without_rollouts_nobody_controls():
    """No lease is taken, the database is left alone; the last end gives it back."""
    fleet = fleet_of()
    is_there = False
    controller = fleet.controller(has_active=lambda: is_there)
    task = asyncio.create_task(controller.run())
    await live(fleet, 5)
    assert fleet.journal.steps == []
    is_there = True
    await live(fleet, 3)
    assert controller.is_controlling
    is_there = False
    await live(fleet, 3)
    assert (controller.is_controlling, fleet.journal.holder) == (False, "")
    await end(task)
