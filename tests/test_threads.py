"""Threads beside the event loop, and what Python says when the system gives no further one."""

import asyncio
import contextlib
import sys
import threading
import time

import pytest

from serinus.threads import OwnThread, is_out_of_threads, short_turns, to_thread
from tests.support.no_threads import no_threads


def test_it_is_known_by_what_python_really_says():
    """Should another Python say it otherwise, this is where it shows."""
    with no_threads(), pytest.raises(RuntimeError) as caught:
        threading.Thread(target=print).start()
    assert is_out_of_threads(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError("can't start new thread")], ids=repr)
def test_nothing_else_is_taken_for_it(error: Exception):
    """Least of all a bug of ours."""
    assert not is_out_of_threads(error)


@pytest.fixture
def usual_s() -> float:
    """Python's own interval, once the work that an earlier test left behind is over."""
    give_up = time.monotonic() + 60
    while sys.getswitchinterval() < 0.005:
        assert time.monotonic() < give_up, "something still runs beside the loop"
        time.sleep(0.01)
    return sys.getswitchinterval()


def test_threads_take_turns_more_often_while_something_computes(usual_s: float):
    """And as before once the last is over, however it ended."""
    with short_turns():
        with contextlib.suppress(ValueError), short_turns():
            assert sys.getswitchinterval() < usual_s
            raise ValueError
        assert sys.getswitchinterval() < usual_s
    assert sys.getswitchinterval() == usual_s


async def test_work_beside_the_loop_takes_short_turns_and_says_what_came_of_it(usual_s: float):
    """Also when it fails."""
    thread, interval_s = await to_thread(lambda: (threading.get_ident(), sys.getswitchinterval()))
    assert thread != threading.get_ident()
    assert interval_s < usual_s
    with pytest.raises(ZeroDivisionError):
        await to_thread(divmod, 1, 0)
    assert sys.getswitchinterval() == usual_s


async def test_one_s_own_thread_answers_while_all_others_are_taken():
    """It is always the same one, and goes with its block."""
    may_end = threading.Event()
    with OwnThread("watch") as own:
        asked = own.asked(threading.current_thread)
        taken = [asyncio.create_task(to_thread(may_end.wait, 60)) for _ in range(40)]
        try:
            thread = await asyncio.wait_for(asked(), 30)
            assert thread is await asyncio.wait_for(asked(), 30)
        finally:
            may_end.set()
            await asyncio.gather(*taken)
    assert thread.name.startswith("watch")
    await to_thread(thread.join, 30)
    assert not thread.is_alive()
