"""What is counted of an arm, and for how long it belongs together."""

import random

import pytest
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
    arm.failed(0.01, is_trial=True)
    arm.answered(0.01, is_trial=True)
    arm.answered_badly(0.01, is_trial=True)
    arm.failed(0.01, is_trial=True)
    assert arm.window() == ArmWindow(exposures=4, errors=2, invalid=1, run=2, latency=latency(of_10_ms=2), trials=4)


def test_a_call_is_slow_whether_answered_or_not():
    """A failure that took its time is both."""
    arm = counts()
    arm.answered(1.0, is_trial=True)
    arm.failed(1.0, is_trial=True)
    arm.answered_badly(1.0, is_trial=True)
    expected = ArmWindow(exposures=3, errors=1, slow=3, invalid=1, run=2, latency=latency(of_1_s=2), trials=3)
    assert arm.window() == expected


def test_only_trials_say_how_a_version_does():
    """The other calls are exposures, and took their time; they neither fail it nor end a run of failures."""
    arm = counts()
    arm.failed(1.0, is_trial=True)
    arm.failed(1.0, is_trial=False)
    arm.answered_badly(1.0, is_trial=False)
    arm.answered(0.01, is_trial=False)
    found = ArmWindow(exposures=4, errors=1, slow=1, run=1, latency=latency(of_10_ms=1, of_1_s=1), trials=1)
    assert arm.window() == found


def test_the_first_call_of_a_key_in_a_second_is_a_trial():
    """However often it calls; who has no key is somebody else each time."""
    arm = counts()
    keys = [("ann", 0.0), ("ann", 0.5), ("bob", 0.9), ("", 0.9), ("", 0.9), ("ann", 1.1)]
    assert [arm.is_trial(key, now) for key, now in keys] == [True, False, True, True, True, True]


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_a_caller_who_calls_all_the_time_does_not_hide_failures(rate):
    """Failures counted once a second among calls that all count would make nearly nothing of what it meets."""
    arm, rng = counts(), random.Random(1)
    for call in range(20_000):
        is_trial = arm.is_trial("ann", call / 50)
        end = arm.failed if rng.random() < rate else arm.answered
        end(0.01, is_trial=is_trial)
    window = arm.window()
    assert (window.exposures, window.trials) == (20_000, 400)
    assert window.errors / window.trials == pytest.approx(rate, abs=0.1)


def test_a_version_that_never_gets_warm_is_known_by_its_run():
    """Its first calls are in no rate, and a breaker would let no others through."""
    arm = counts(to_skip=10)
    arm.answered(0.01, is_trial=True)
    arm.failed(0.01, is_trial=True)
    arm.failed(0.01, is_trial=False)
    arm.answered_badly(0.01, is_trial=True)
    assert arm.window() == ArmWindow(run=2)
    arm.answered(0.01, is_trial=True)
    assert arm.window() == ArmWindow()


def test_the_first_calls_are_not_counted():
    """However they end."""
    arm = counts(to_skip=2)
    arm.failed(1.0, is_trial=True)
    arm.answered(1.0, is_trial=True)
    assert arm.window() == ArmWindow()
    arm.answered(0.01, is_trial=True)
    assert arm.window() == ArmWindow(exposures=1, latency=latency(of_10_ms=1), trials=1)


def test_memory_of_keys_is_bounded():
    """Beyond the bound every call is a trial."""
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
    """Even an arm that had no calls for a segment; in a new rollout all warm up. A run of failures goes on."""
    first = Exposures.following(None, half(observation=observed(skip_first=3)))
    assert first is not None
    for _ in range(2):
        first.arms[CANARY.number].failed(0.01, is_trial=True)
    second = Exposures.following(first, half(observation=observed(1, skip_first=3)))
    assert second is not None
    assert {number: arm.to_skip for number, arm in second.arms.items()} == {CANARY.number: 1, STABLE.number: 3}
    assert second.arms[CANARY.number].window() == ArmWindow(run=2)
    without = TrafficSplit("s", (Arm(STABLE, WHOLE),), observation=observed(2, skip_first=3))
    third = Exposures.following(second, without)
    assert third is not None
    assert third.lasting == {CANARY.number: (1, 2), STABLE.number: (3, 0)}
    other = Exposures.following(third, half(observation=observed(rollout="r2", skip_first=3)))
    assert other is not None
    assert other.lasting == {CANARY.number: (3, 0), STABLE.number: (3, 0)}


def test_a_split_that_nobody_judges_is_not_counted():
    """And what was counted before is gone."""
    assert Exposures.following(Exposures.following(None, half(observation=observed())), half()) is None
