"""Controllers that die anywhere, and controllers that do not know of each other: every rollout comes to its end."""

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.rollout.machine.effects import is_exposed
from serinus.rollout.rollout import WITHOUT_CALLS, Rollout, Status
from tests.support.fake_journal import FakeJournal
from tests.support.fleet import FakeServer, Fleet, Manners
from tests.support.rollouts import CANDIDATE, begun
from tests.support.virtual_loop import run_virtual

LONGER = {"canary": {"weight": 50, "min_s": 30, "max_s": 900, "min_requests": 100}}
WHOLE = {"canary": {"weight": 100, "min_s": 1, "max_s": 300, "min_requests": 100}}
HEALTHY = Manners()
ERRING = Manners(errors=0.5)


class Killed(BaseException):
    """The process is gone."""


def kill_at(point: int) -> Callable[[str], None]:
    """Kill at that place among all steps that a journal passes."""
    left = iter(range(point, -1, -1))

    def reach(_: str) -> None:
        if next(left, 1) == 0:
            raise Killed

    return reach


def check_history(journal: FakeJournal) -> None:
    """What holds of every history: steps happen once, fences never fall, and calls never come back."""
    assert len(journal.events) == len(set(journal.events) - {"stage"}) + journal.events.count("stage")
    fences = [written.fence for written in journal.written if written.fence is not None]
    assert fences == sorted(fences)
    states = [written.rollout for written in journal.written]
    failed = [place for place, rollout in enumerate(states) if rollout.status in WITHOUT_CALLS]
    assert not any(is_exposed(rollout) for rollout in states[failed[0] if failed else len(states) :])


async def killed_once(rollout: Rollout, manners: Manners, point: int, *, with_server: bool) -> Fleet:
    """A fleet whose controller was killed at that point, and another one took over."""
    journal = FakeJournal()
    journal.add(rollout)
    fleet = Fleet(journal)
    fleet.behave(CANDIDATE, manners)
    journal.reach = kill_at(point)
    try:
        await fleet.play(fleet.controller(), 12)
    except Killed:
        journal.reach = lambda _: None
    if with_server:
        fleet.servers = [FakeServer(journal, "s1 again")]
        fleet.behave(CANDIDATE, manners)
    await fleet.play(fleet.controller("s1 again"), 40, until=lambda: journal.now().has_ended)
    return fleet


@pytest.mark.parametrize("with_server", [False, True])
@pytest.mark.parametrize(("manners", "end"), [(HEALTHY, Status.SUCCEEDED), (ERRING, Status.ROLLED_BACK)])
def test_a_controller_may_be_killed_anywhere(manners, end, with_server):
    """At each step, before and after: the next one goes on to the same end, and does nothing twice."""
    for point in range(70):
        fleet = run_virtual(killed_once(begun(WHOLE), manners, point, with_server=with_server))
        assert (point, fleet.journal.now().status) == (point, end)
        check_history(fleet.journal)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 32), is_good=st.booleans(), slowest_s=st.sampled_from([0.1, 2.0, 6.0, 12.0]))
def test_controllers_that_do_not_know_of_each_other_never_both_act(seed, is_good, slowest_s):
    """Answers come late or never, leases change hands in the middle of a look: one history, and it ends."""
    rng = random.Random(seed)
    manners = HEALTHY if is_good else ERRING

    async def main() -> FakeJournal:
        journal = FakeJournal()
        journal.add(begun(LONGER, WHOLE))
        # Most answers are quick; some come so late that a look is given up, or the lease is taken meanwhile.
        journal.delay = lambda: rng.random() * (slowest_s if rng.random() < 0.08 else 0.05)
        fleet = Fleet(journal, servers=2, lost_after_s=3.0)
        fleet.behave(CANDIDATE, manners)
        tasks = [asyncio.create_task(fleet.controller(name).run()) for name in ("s1", "s2", "s3")]
        loop = asyncio.get_running_loop()
        while not journal.now().has_ended and loop.time() < 600:
            await asyncio.sleep(1.0)
            fleet.tick()
            if rng.random() < 0.1:
                # One ends in the middle of a look, and comes back as another one.
                place = rng.randrange(len(tasks))
                tasks[place].cancel()
                tasks[place] = asyncio.create_task(fleet.controller(f"s{rng.random()}").run())
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return journal

    journal = run_virtual(main())
    assert journal.now().status in ({Status.SUCCEEDED} if is_good else {Status.ROLLED_BACK})
    check_history(journal)
