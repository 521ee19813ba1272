"""A version that fails repeatedly is taken out, and comes back when it has shown that it can."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.serving.routing.breaker import Breaker, BreakerLimits, BreakerState

LIMITS = BreakerLimits(failures=3, open_s=5.0)


def after(*steps: tuple[str, float], breaker: Breaker | None = None) -> Breaker:
    """The breaker after one call for each step, (how it ended, when); those that are not let through are left out."""
    breaker = breaker or Breaker(LIMITS)
    for end, now in steps:
        if breaker.admits(now):
            breaker = ended(breaker.asked(now), end, now)
    return breaker


def ended(breaker: Breaker, end: str, now: float) -> Breaker:
    match end:
        case "good":
            return breaker.answered(now, breaker.turn)
        case "bad":
            return breaker.failed(now, breaker.turn)
        case _:
            return breaker.released(breaker.turn)


OPENED = after(("bad", 1), ("bad", 2), ("bad", 3))


def test_failures_in_a_row_open_it():
    """Not one less, and a good answer between them starts the count again."""
    assert after(("bad", 1), ("bad", 2)) == Breaker(LIMITS, failures=2)
    assert after(("bad", 1), ("bad", 2), ("good", 2), ("bad", 3)) == Breaker(LIMITS, failures=1)
    assert Breaker(LIMITS, BreakerState.OPEN, failures=3, since=3, open_s=5, turn=1) == OPENED


def test_ends_that_say_nothing_count_for_nothing():
    """Neither a failure nor a good answer."""
    assert after(("bad", 1), ("nothing", 2), ("bad", 3)) == Breaker(LIMITS, failures=2)


def test_an_open_one_lets_nothing_through_until_its_time_is_over():
    """Then one probe at a time."""
    assert [OPENED.admits(now) for now in (3, 7.9, 8)] == [False, False, True]
    assert [OPENED.retry_in_s(now) for now in (3, 7, 9)] == [5, 1, 0]
    probing = OPENED.asked(8)
    assert (probing.state, probing.admits(8), probing.admits(12.9)) == (BreakerState.HALF_OPEN, False, False)


def test_good_probes_close_it():
    """Three of them."""
    assert after(("good", 8), ("good", 8.1), breaker=OPENED).state is BreakerState.HALF_OPEN
    closed = after(("good", 8), ("good", 8.1), ("good", 8.2), breaker=OPENED)
    assert closed == Breaker(LIMITS, BreakerState.CLOSED, since=8.2, open_s=5, turn=3)


def test_a_bad_probe_opens_it_for_twice_as_long():
    """However many good ones came before it; at most 64 times as long as the first time."""
    again = after(("good", 8), ("bad", 9), breaker=OPENED)
    assert again == Breaker(LIMITS, BreakerState.OPEN, failures=4, since=9, open_s=10, turn=3)
    for _ in range(10):
        again = after(("bad", again.since + again.open_s), breaker=again)
    assert (again.failures, again.open_s) == (14, 320)


def test_a_probe_that_hangs_makes_room_for_another():
    """After as long as it was open."""
    probing = OPENED.asked(8)
    assert probing.admits(13)
    assert probing.asked(13) == dataclasses.replace(probing, probe_at=13)


def test_a_probe_that_says_nothing_makes_room_for_another():
    """Its caller went away."""
    assert after(("nothing", 8), breaker=OPENED).admits(8)


@pytest.mark.parametrize("end", ["good", "bad", "nothing"])
def test_a_call_from_before_it_moved_does_not_move_it(end: str):
    """The crowd that was inside when it opened says nothing about its recovery."""
    for breaker in (OPENED, OPENED.asked(8)):
        ends = {"good": breaker.answered(9, 0), "bad": breaker.failed(9, 0), "nothing": breaker.released(0)}
        assert ends[end] is breaker


def test_what_fails_again_soon_stays_out_longer():
    """Ten times its last open time without trouble forgive it."""
    closed = after(("good", 8), ("good", 8), ("good", 8), breaker=OPENED)
    assert after(*[("bad", 57.9)] * 3, breaker=closed).open_s == 10
    assert after(*[("bad", 58)] * 3, breaker=closed).open_s == 5


def test_a_version_that_flaps_gets_fewer_calls_than_its_good_times_would_give_it():
    """Bad for ten seconds of every minute, called ten times a second for an hour: what fails is near nothing."""
    breaker = Breaker(LIMITS)
    failed = asked = 0
    for tick in range(36_000):
        now = tick / 10
        if not breaker.admits(now):
            continue
        is_bad = now % 60 < 10
        breaker = ended(breaker.asked(now), "bad" if is_bad else "good", now)
        failed, asked = failed + is_bad, asked + 1
    # 6000 without a breaker, 240 with one that forgets how long it was open as soon as it closes.
    assert (failed, asked) == (43, 4867)


steps = st.lists(st.tuples(st.sampled_from(["good", "bad", "nothing"]), st.floats(0, 20)), max_size=60)


@given(steps)
def test_it_is_open_for_no_less_and_no_more_than_it_says(drawn: list[tuple[str, float]]):
    """Whatever happens: open times lie within their bounds, and an open breaker admits once its time is over."""
    breaker, now = Breaker(LIMITS), 0.0
    for end, wait_s in drawn:
        now += wait_s
        was = breaker
        breaker = after((end, now), breaker=breaker)
        if was.state is BreakerState.OPEN and now < was.since + was.open_s:
            assert breaker is was
        if breaker.state is BreakerState.OPEN:
            assert 5 <= breaker.open_s <= 320
            assert breaker.failures >= 3
        assert breaker.admits(now + 320)
