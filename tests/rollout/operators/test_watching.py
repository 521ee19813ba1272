"""Watching rollouts: what anybody sees, on any server, while they move and when they have ended."""

import asyncio
import contextlib

import pytest

from serinus.core.errors import NotFound, StoreUnavailable
from serinus.core.windows import PairWindow
from serinus.rollout.judging.judgement import NOTHING_JUDGED
from serinus.rollout.operators.watching import Watching
from serinus.rollout.rollout import Rollout, Status
from serinus.rollout.view import ArmView, RolloutView, view_of
from tests.support.fake_journal import FakeJournal
from tests.support.fleet import Fleet, Manners
from tests.support.rollouts import BASELINE, CANDIDATE, begun
from tests.support.virtual_loop import virtual

FIVE = {"canary": {"weight": 5, "min_s": 5, "max_s": 600, "min_requests": 200}}
WHOLE = {"canary": {"weight": 100, "min_s": 5, "max_s": 600, "min_requests": 200}}


def fleet_of(rollout: Rollout) -> Fleet:
    journal = FakeJournal()
    journal.add(rollout)
    return Fleet(journal)


def watching_of(fleet: Fleet) -> Watching:
    return Watching(fleet.journal, clock=lambda: fleet.now, monotonic=asyncio.get_running_loop().time, interval_s=1.0)


@virtual
async def test_a_rollout_that_was_not_looked_at_shows_what_it_is():
    """No counts, no verdict, all calls stable's."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    stored = await fleet.journal.get("r")
    assert await watching_of(fleet).get("r") == RolloutView(
        stored, (ArmView(BASELINE, 10_000), ArmView(CANDIDATE, 0)), None, PairWindow(), ()
    )


@virtual
async def test_any_server_shows_what_the_controller_knows():
    """Counts of the stage and of the whole, the verdict, what it waits for."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    await fleet.play(fleet.controller(), 4)
    view = await watching_of(fleet).newest("m")
    baseline, candidate = view.arms
    # In the first second the rollout was prepared; in each of the three after it the candidate got its share.
    assert (candidate.weight, candidate.exposures, candidate.total_exposures, candidate.errors) == (500, 150, 150, 0)
    assert (baseline.weight, baseline.exposures, baseline.total_exposures) == (9500, 2850, 3850)
    assert candidate.p99_s == pytest.approx(0.01, rel=0.2)
    assert candidate.rate > 0
    assert view.verdict is not None
    assert view.waits_for[:2] == ("150 of 200 calls of m@1.1.0", "3 of 5 s")


@virtual
async def test_a_stage_that_has_just_begun_shows_no_verdict_of_the_one_before():
    """Nobody has looked at it yet; the whole rollout's counts stay."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    controller = fleet.controller()
    await fleet.play(controller, 100, until=lambda: fleet.journal.now().stage == 1)
    view = await watching_of(fleet).get("r")
    assert (view.verdict, view.arms[1].exposures, view.arms[1].weight) == (None, 0, 10_000)
    assert view.arms[1].total_exposures > 200


@virtual
async def test_what_failed_a_rollout_can_be_seen_after_its_end():
    """The verdict that decided, and all calls that the candidate got."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    fleet.behave(CANDIDATE, Manners(errors=0.5))
    await fleet.play(fleet.controller(), 30, until=lambda: fleet.journal.now().has_ended)
    view = await watching_of(fleet).get("r")
    assert view.stored.rollout.status is Status.ROLLED_BACK
    assert view.verdict is not None
    assert view.verdict.reason == view.stored.rollout.reason
    assert [arm.weight for arm in view.arms] == [10_000, 0]
    assert view.arms[1].total_exposures > 0
    assert view.waits_for == ()


@virtual
async def test_evidence_that_cannot_be_read_hides_no_rollout():
    """Where it stands can be said all the same."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    fleet.journal.spoil_evidence()
    stored = await fleet.journal.get("r")
    assert await watching_of(fleet).get("r") == view_of(stored, NOTHING_JUDGED, 0.0)


@virtual
async def test_a_watch_ends_with_the_rollout():
    """It shows each state on the way, the end last, and remembers nothing afterwards."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    controller = fleet.controller()
    watching = watching_of(fleet)

    async def live() -> None:
        while not fleet.journal.now().has_ended:
            fleet.tick()
            await controller.look()
            await asyncio.sleep(1)

    task = asyncio.create_task(live())
    seen = [view.stored.rollout async for view in watching.watch("r")]
    await task
    assert list(dict.fromkeys((rollout.status, rollout.stage) for rollout in seen)) == [
        (Status.PREPARING, 0),
        (Status.RUNNING, 0),
        (Status.RUNNING, 1),
        (Status.SUCCEEDED, 1),
    ]
    assert repr(watching) == "<Watching [0 watchers]>"


@virtual
async def test_many_who_watch_read_it_as_seldom_as_one():
    """A hundred watchers for ten seconds: two readings a second at most."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    watching = watching_of(fleet)

    async def watch() -> None:
        async for _ in watching.watch("r"):
            pass

    tasks = [asyncio.create_task(watch()) for _ in range(100)]
    await asyncio.sleep(10)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert fleet.journal.steps.count("get") <= 20
    assert repr(watching) == "<Watching [0 watchers]>"


@virtual
async def test_a_watch_outlives_a_database_that_restarts():
    """It goes on when the database is back; after a minute without, whoever watches is told."""
    fleet = fleet_of(begun(FIVE, WHOLE))
    loop = asyncio.get_running_loop()
    away_until = 0.0

    def reach(_: str) -> None:
        if loop.time() < away_until:
            raise StoreUnavailable("the database is away")

    fleet.journal.reach = reach
    async with contextlib.aclosing(watching_of(fleet).watch("r")) as views:
        await anext(views)
        away_until = loop.time() + 30
        await anext(views)
        assert loop.time() >= 30
        away_until = loop.time() + 600
        with pytest.raises(StoreUnavailable):
            await anext(views)
        assert loop.time() < 100


@virtual
async def test_what_is_not_there_cannot_be_watched():
    """An unknown id, and a model that never had a rollout."""
    watching = watching_of(fleet_of(begun(FIVE, WHOLE)))
    with pytest.raises(NotFound):
        await anext(watching.watch("q"))
    with pytest.raises(NotFound, match="model q never had a rollout"):
        await watching.newest("q")
