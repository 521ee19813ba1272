"""Who controls rollouts: one at a time, somebody always, and nobody for longer than they live."""

import pytest

from serinus.core.errors import StoreUnavailable
from serinus.rollout.control.heartbeats import Heartbeats
from serinus.rollout.control.leadership import Leadership
from serinus.rollout.ports import Lease
from tests.support.fake_journal import FakeJournal
from tests.support.virtual_loop import virtual


class Clock:
    """Monotonic seconds, turned by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def of(journal: FakeJournal, server: str, clock: Clock) -> Leadership:
    return Leadership(journal, server=server, monotonic=clock, lost_after_s=10.0)


@virtual
async def test_the_first_one_takes_it_and_keeps_it():
    """Each claim beats; others wait for as long as it does."""
    journal, clock = FakeJournal(), Clock()
    first, second = of(journal, "a", clock), of(journal, "b", clock)
    assert await first.claim() == Lease("a", 1, 0)
    for second_s in range(30):
        clock.now = float(second_s)
        assert await second.claim() is None
        assert await first.claim() == Lease("a", 1, second_s + 1)


@virtual
async def test_it_is_taken_from_who_is_silent():
    """After so long by one's own clock, and the old holder learns it from the next beat."""
    journal, clock = FakeJournal(), Clock()
    first, second = of(journal, "a", clock), of(journal, "b", clock)
    await first.claim()
    taken = []
    for second_s in range(12):
        clock.now = float(second_s)
        taken.append(await second.claim())
    assert taken[9:] == [None, Lease("b", 2, 0), Lease("b", 2, 1)]
    assert await first.claim() is None
    assert first.lease is None


@virtual
async def test_of_two_who_see_it_silent_one_gets_it():
    """What one has taken is not what the other has seen any more."""
    journal, clock = FakeJournal(), Clock()
    await of(journal, "a", clock).claim()
    others = [of(journal, "b", clock), of(journal, "c", clock)]
    for second_s in (0.0, 4.0, 8.0, 12.0):
        clock.now = second_s
        got = [await other.claim() for other in others]
    assert got == [Lease("b", 2, 0), None]


@virtual
async def test_it_is_given_back_at_once():
    """Who leaves makes room for the next without a wait."""
    journal, clock = FakeJournal(), Clock()
    first = of(journal, "a", clock)
    await first.claim()
    await first.leave()
    assert await of(journal, "b", clock).claim() == Lease("b", 2, 0)


@pytest.mark.parametrize("point", ["take_lease done", "beat_lease done"])
@virtual
async def test_an_answer_that_was_lost_costs_no_lease(point):
    """The database did it and could not say so: whose it is can be read."""
    journal, clock = FakeJournal(), Clock()
    first = of(journal, "a", clock)
    if point == "beat_lease done":
        await first.claim()

    def lost(reached: str) -> None:
        if reached == point:
            raise StoreUnavailable("the answer was lost")

    journal.reach = lost
    with pytest.raises(StoreUnavailable):
        await first.claim()
    journal.reach = lambda _: None
    claimed = await first.claim()
    assert claimed is not None
    assert (claimed.holder, claimed.fence) == ("a", 1)


@virtual
async def test_who_could_not_listen_takes_nobody_for_dead():
    """The database was away for everybody: the holder gets all its time again."""
    journal, clock = FakeJournal(), Clock()
    await of(journal, "a", clock).claim()
    second = of(journal, "b", clock)
    for second_s in (0.0, 1.0, 60.0, 61.0, 65.0, 69.0):
        clock.now = second_s
        assert await second.claim() is None
    clock.now = 70.0
    assert await second.claim() == Lease("b", 2, 0)


def test_who_is_forgotten_begins_anew():
    """A server that was not among them for a while is heard of for the first time again."""
    beats = Heartbeats(10.0)
    assert beats.silent({"a": 1, "b": 1}, 0.0) == frozenset()
    assert beats.silent({"a": 2, "b": 1}, 5.0) == frozenset()
    assert beats.silent({"a": 2, "b": 1}, 10.0) == {"b"}
    assert beats.silent({"a": 2}, 12.0) == frozenset()
    assert beats.silent({"a": 2, "b": 1}, 15.0) == {"a"}
