"""The clock of tests that measure what must be quick."""

import os
import signal
import time

import pytest

from tests.support.running_clock import running_clock, watched


def _computes() -> None:
    sum(range(1 << 24))  # which holds the interpreter


@pytest.mark.parametrize("do", [_computes, lambda: time.sleep(0.2)])
def test_what_is_slow_by_itself_takes_as_long_as_by_any_other_clock(do):
    """Nobody else is kept from running by it."""
    clock = running_clock()
    began, running = time.perf_counter(), clock.now()
    do()
    ended, ran_s = time.perf_counter(), clock.now() - running
    stood_s = clock.stood_s(began, ended)
    assert ran_s > 0.9 * (ended - began) - stood_s
    assert ran_s < ended - began + 0.05


def test_a_machine_that_stands_still_is_left_out():
    """For all that the process which looks at the time can tell, everything stood still while it was stopped."""
    clock = running_clock()
    began, running = time.perf_counter(), clock.now()
    before_s = clock.stood_s(began - 10, began)
    _, pid = watched()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.3)
    os.kill(pid, signal.SIGCONT)
    while not clock.stood_s(began, time.perf_counter()):
        time.sleep(0.01)
    ran_s, ended = clock.now() - running, time.perf_counter()
    assert 0.2 < clock.stood_s(began, ended) < ended - began
    assert ran_s < ended - began - 0.2
    assert clock.stood_s(began - 10, began) == pytest.approx(before_s, abs=0.05)
