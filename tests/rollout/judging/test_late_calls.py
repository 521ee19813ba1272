"""What arms did of late."""

import pytest

from serinus.core.windows import ArmWindow
from serinus.rollout.judging.tallies import FADE_S, Late


def test_failures_of_late_are_a_share_of_the_trials():
    """One caller who calls all the time makes a version busy, not better."""
    late = Late(0.0, 0.0).with_calls(ArmWindow(exposures=100, trials=2, errors=1, invalid=1, run=2), 0.0)
    assert (late.calls, late.rate, late.run) == (100, 1.0, 2)


def test_calls_of_late_fade():
    """By their age; the share that failed does not."""
    late = Late(0.0, 0.0).with_calls(ArmWindow(exposures=100, trials=100, errors=50), 0.0)
    later = late.with_calls(ArmWindow(), FADE_S)
    assert (later.calls, later.rate) == (pytest.approx(36.8, abs=0.1), 0.5)
