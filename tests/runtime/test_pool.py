"""The threads that run models."""

import asyncio
import os
import sys
import threading

import pytest

from serinus.runtime.pool import NICER, ComputePool


@pytest.fixture
def pool():
    with ComputePool(1) as pool:
        yield pool


async def test_work_runs_on_a_thread_of_the_pool(pool):
    """The caller gets what the work returns, computed elsewhere."""
    assert await pool.run(lambda: threading.current_thread().name) == "compute-0"


async def test_an_exception_reaches_the_caller(pool):
    """The work's own exception is raised, and the thread lives on."""

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await pool.run(fail)
    assert await pool.run(lambda: 1) == 1


async def test_a_stop_iteration_does_not_hang_its_caller(pool):
    """What no future can carry arrives as something else."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await pool.run(lambda: next(iter(())))


async def test_a_cancelled_caller_leaves_while_the_work_goes_on(pool):
    """The caller ends at once, the thread is free again after the work."""
    started, finish = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        finish.wait(10)

    task = asyncio.create_task(pool.run(work))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    finish.set()
    assert await pool.run(lambda: 2) == 2


async def test_work_whose_caller_left_before_it_started_is_skipped(pool):
    """Nobody pays for a run that nobody waits for."""
    started, finish, ran = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def hold() -> None:
        loop.call_soon_threadsafe(started.set)
        finish.wait(10)

    holding = asyncio.create_task(pool.run(hold))
    await started.wait()
    waiting = asyncio.create_task(pool.run(lambda: ran.append("skipped")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    finish.set()
    await holding
    await pool.run(lambda: ran.append("run"))
    assert ran == ["run"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives each thread a priority of its own")
async def test_threads_step_back_behind_the_event_loop(pool):
    """The pool's threads are nicer than the thread that started them."""
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    theirs = await pool.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert (own, theirs) == (own, min(own + NICER, 19))


async def test_all_threads_work_at_once():
    """As many runs as threads are under way together."""
    with ComputePool(3) as pool:
        meeting = threading.Barrier(3, timeout=10)
        assert sorted(await asyncio.gather(*(pool.run(meeting.wait) for _ in range(3)))) == [0, 1, 2]


async def test_leaving_the_pool_stops_its_threads():
    """No thread outlives the block."""
    with ComputePool(2) as pool:
        assert (pool.threads, repr(pool)) == (2, "<ComputePool [2 threads, queued 0]>")
        threads = {await pool.run(threading.current_thread), await pool.run(threading.current_thread)}
    assert not any(thread.is_alive() for thread in threads)


def test_a_loop_that_closed_meanwhile_does_not_hurt_the_thread():
    """A result for a loop that is gone is dropped."""
    finish = threading.Event()
    with ComputePool(1) as pool:

        async def leave() -> None:
            task = asyncio.create_task(pool.run(lambda: finish.wait(10)))
            await asyncio.sleep(0)
            task.cancel()

        asyncio.run(leave())
        finish.set()
        assert asyncio.run(pool.run(lambda: 3)) == 3
