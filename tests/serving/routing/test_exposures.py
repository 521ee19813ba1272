"""What is counted of an arm, and for how long it belongs together."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from serinus.core.traffic import WHOLE, Arm, TrafficSplit
from serinus.core.windows import ArmWindow
from serinus.serving.routing.exposures import ArmCounts, Exposures, OncePerSecond
from serinus.telemetry.histogram import BOUNDS_S
from tests.support.routes import CANARY, STABLE, half, observed

SLOW_S = 0.1


def counts(*, to_skip: int = 0) -> ArmCounts:
    return ArmCounts(slow_s=SLOW_S, to_skip=to_skip)


def latency(**calls: int) -> tuple[int, ...]:
    """Counts of calls of 10 ms and of 1 s."""
    places = {"of_10_ms": 0.01, "of_1_s": 1.0}
    found = [0] * (len(BOUNDS_S) + 1)
    for name, number in calls.items():
        found[next(place for place, bound in enumerate(BOUNDS_S) if places[name] <= bound)] += number
    return tuple(found)


def test_every_kind_of_end_is_counted():
    """Each exposure once; failures besides, and how many were the last ones in a row."""
    arm = counts()
    arm.failed("", 0.01, 0)
    arm.answered("", 0.01, 0)
    arm.answered_badly("", 0.01, 0)
    arm.failed("", 0.01, 0)
    assert arm.window() == ArmWindow(exposures=4, errors=2, invalid=1, run=2, latency=latency(of_10_ms=2))


def test_a_call_is_slow_whether_answered_or_not():
    """A failure that took its time is both."""
    arm = counts()
    arm.answered("", 1.0, 0)
    arm.failed("", 1.0, 0)
    arm.answered_badly("", 1.0, 0)
    assert arm.window() == ArmWindow(exposures=3, errors=1, slow=3, invalid=1, run=2, latency=latency(of_1_s=2))


def test_the_same_key_fails_once_a_second():
    """In each kind of failure by itself; all its calls are exposures all the same."""
    arm = counts()
    for now in (0.0, 0.5, 0.9, 1.1):
        arm.failed("ann", 1.0, now)
        arm.answered_badly("ann", 1.0, now)
    arm.failed("bob", 1.0, 0.9)
    window = dataclasses.replace(arm.window(), latency=())
    assert window == ArmWindow(exposures=9, errors=3, slow=3, invalid=2, run=9)


def test_a_call_without_a_key_is_somebody_elses_each_time():
    """Nothing says that two of them have to do with each other."""
    arm = counts()
    for _ in range(5):
        arm.failed("", 0.01, 0)
    assert arm.window() == ArmWindow(exposures=5, errors=5, run=5)


def test_the_first_calls_are_not_counted():
    """However they end."""
    arm = counts(to_skip=2)
    arm.failed("", 1.0, 0)
    arm.answered("", 1.0, 0)
    assert arm.window() == ArmWindow()
    arm.answered("", 0.01, 0)
    assert arm.window() == ArmWindow(exposures=1, latency=latency(of_10_ms=1))


def test_memory_of_keys_is_bounded():
    """Beyond the bound failures count as they come."""
    once = OncePerSecond()
    assert all(once.passes(str(n), 0.0) for n in range(5000))
    assert not once.passes("0", 0.5)
    assert once.passes("4999", 0.5)
    assert once.passes("0", 1.0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40).map(lambda tenths: tenths / 10))))
def test_no_key_passes_twice_in_a_second(calls: list[tuple[str, float]]):
    """And the first one of each second does."""
    once, calls = OncePerSecond(), sorted(calls, key=lambda each: each[1])
    passed = [(key, int(now)) for key, now in calls if once.passes(key, now)]
    assert sorted(passed) == sorted({(key, int(now)) for key, now in calls})


def test_counts_go_on_while_the_segment_lasts():
    """Whatever else about the split has changed."""
    first = Exposures.following(None, half(observation=observed()))
    assert first is not None
    assert set(first.arms) == {STABLE.number, CANARY.number}
    assert Exposures.following(first, half(observation=observed(), rescue=False)) is first


def test_a_new_segment_counts_anew_and_does_not_warm_up_again():
    """Even an arm that had no calls for a segment; in a new rollout all warm up."""
    first = Exposures.following(None, half(observation=observed(skip_first=3)))
    assert first is not None
    for _ in range(2):
        first.arms[CANARY.number].answered("", 0.01, 0)
    second = Exposures.following(first, half(observation=observed(1, skip_first=3)))
    assert second is not None
    assert {number: arm.to_skip for number, arm in second.arms.items()} == {CANARY.number: 1, STABLE.number: 3}
    without = TrafficSplit("s", (Arm(STABLE, WHOLE),), observation=observed(2, skip_first=3))
    third = Exposures.following(second, without)
    assert third is not None
    assert third.to_skip == {CANARY.number: 1, STABLE.number: 3}
    other = Exposures.following(third, half(observation=observed(rollout="r2", skip_first=3)))
    assert other is not None
    assert other.to_skip == {CANARY.number: 3, STABLE.number: 3}


def test_a_split_that_nobody_judges_is_not_counted():
    """And what was counted before is gone."""
    assert Exposures.following(Exposures.following(None, half(observation=observed())), half()) is None
