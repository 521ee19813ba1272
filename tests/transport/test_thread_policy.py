"""How threads are scheduled that gRPC starts, and that nobody else's are."""

import os
import threading

import pytest

from serinus.transport.thread_policy import threads_that_wait_their_turn

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="a policy of Linux")


def policy_of_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
    thread.start()
    thread.join()
    return found[0]


def test_threads_of_the_block_preempt_nobody():
    """The thread that starts them is what it was, once the block has ended."""
    with threads_that_wait_their_turn():
        assert policy_of_a_new_thread() == os.SCHED_BATCH
    assert (os.sched_getscheduler(0), policy_of_a_new_thread()) == (os.SCHED_OTHER, os.SCHED_OTHER)


def test_what_an_operator_chose_stays():
    """A process that was started with a policy of its own keeps it throughout."""

    def with_a_policy_of_its_own() -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with threads_that_wait_their_turn():
            found.append(policy_of_a_new_thread())

    found: list[int] = []
    thread = threading.Thread(target=with_a_policy_of_its_own)  # what it does to itself ends with it
    thread.start()
    thread.join()
    assert found == [os.SCHED_IDLE]
