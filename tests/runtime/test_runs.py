"""Runs that are watched: told to end when nobody waits for them, reported when they do not."""

import asyncio
import threading
import time

import numpy as np
import pytest

from serinus.core.errors import DeadlinePassed, ModelFailed
from serinus.core.predictor import Request
from serinus.core.version import ModelVersion, Version
from serinus.runtime.pool import MOST_LOST, ComputePool
from serinus.runtime.run_watch import Verdict, act, judge, watch_runs
from serinus.runtime.runs import Run, RunsInProgress
from tests.support import models
from tests.support.no_threads import no_threads
from tests.support.virtual_loop import virtual

IDENTITY = ModelVersion("example", Version(1, 2, 3), 7)
ENDLESS = 2**40


class Hooks:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def on_begin(self, slot: int, identity: ModelVersion) -> None:
        assert identity == IDENTITY
        self.heard.append(("begin", slot))

    def on_end(self, slot: int) -> None:
        self.heard.append(("end", slot))


def run_since(since: float, deadline: float) -> Run:
    return Run(IDENTITY, deadline, since, "compute-0")


@pytest.mark.parametrize(
    ("deadline", "now", "verdict"),
    [
        (10.0, 5.0, Verdict.LEAVE),  # somebody waits
        (10.0, 12.9, Verdict.LEAVE),  # nobody does, not for long
        (10.0, 13.0, Verdict.END),
        (0.5, 3.9, Verdict.LEAVE),  # it began late
        (0.5, 4.0, Verdict.END),
        (0.0, 1e9, Verdict.LEAVE),  # nobody ever said
    ],
)
def test_a_run_ends_when_nobody_has_waited_for_it_for_long(deadline, now, verdict):
    """Three seconds after its deadline here, and no sooner after its start."""
    assert judge(run_since(1.0, deadline), now, 3.0) is verdict


def test_a_run_that_does_not_end_is_stuck_once():
    """As long after it was told to end; it is reported once."""
    run, stuck = run_since(1.0, 10.0), []
    looks = []
    for now in (13.0, 14.0, 15.9, 16.0, 17.0):
        looks.append(judge(run, now, 3.0))
        act(run, looks[-1], now, lambda *what: stuck.append(what))
    assert looks == [Verdict.END, Verdict.LEAVE, Verdict.LEAVE, Verdict.STUCK, Verdict.LEAVE]
    assert stuck == [(IDENTITY, "compute-0")]
    assert (run.told_at, run.options.terminate) == (13.0, True)


@virtual
async def test_the_watch_looks_by_itself():
    """Told after 8 s and a look, reported 8 s and a look later."""
    loop = asyncio.get_running_loop()
    runs, stuck = RunsInProgress(clock=loop.time), []
    runs.take_seat(0)
    runs.begin(IDENTITY, deadline=2.0)
    watch = asyncio.create_task(
        watch_runs(runs, hang_s=8.0, on_stuck=lambda *what: stuck.append((*what, loop.time())), clock=loop.time)
    )
    await asyncio.sleep(30.5)
    [run] = runs.under_way()
    assert (run.told_at, stuck) == (10.0, [(IDENTITY, threading.current_thread().name, 18.0)])
    watch.cancel()
    await asyncio.wait([watch])


async def test_a_run_without_end_can_be_ended(load, compute_pool):
    """It fails like a model that is at fault, and the thread is free."""
    model = load(models.counted_loop())
    x = np.ones((1, 128), np.float32)
    endless = Request({"x": x, "trips": np.array(ENDLESS)}, deadline=time.monotonic() + 0.05)
    watch = asyncio.create_task(watch_runs(compute_pool.runs, hang_s=0.02, on_stuck=lambda *_: None))
    with pytest.raises(ModelFailed) as caught:
        await asyncio.wait_for(model.predict(endless), 20)
    watch.cancel()
    await asyncio.wait([watch])
    assert (caught.value.reason, caught.value.message) == ("RUN_ENDED", "the run took too long and was ended")
    brief = Request({"x": x, "trips": np.array(3)}, deadline=time.monotonic() + 60.0)
    assert (await model.predict(brief)).outputs["y"].shape == (1, 128)
    assert compute_pool.runs.under_way() == []


async def test_only_the_run_that_hangs_is_ended(load, compute_pool):
    """Its neighbour on the other thread, of the same model, goes on."""
    model = load(models.counted_loop())
    x = np.ones((1, 128), np.float32)
    hangs = model.predict(Request({"x": x, "trips": np.array(ENDLESS)}, deadline=time.monotonic() + 0.05))
    goes_on = model.predict(Request({"x": x, "trips": np.array(100_000)}, deadline=time.monotonic() + 60.0))
    watch = asyncio.create_task(watch_runs(compute_pool.runs, hang_s=0.02, on_stuck=lambda *_: None))
    ended, answered = await asyncio.gather(hangs, goes_on, return_exceptions=True)
    watch.cancel()
    await asyncio.wait([watch])
    assert isinstance(ended, ModelFailed)
    assert answered.outputs["y"].shape == (1, 128)


async def test_hooks_hear_of_each_run_wherever_it_is(load):
    """On the pool's threads by their numbers, on the event loop by the next one; failed runs end too."""
    hooks = Hooks()
    with ComputePool(1, hooks=hooks) as pool:
        model = load(models.poison(), pool=pool)
        assert hooks.heard == [("begin", 1), ("end", 1)] * (len(hooks.heard) // 2)  # the load is on this thread
        hooks.heard.clear()
        good, bad = (Request({"x": np.full((1, 4), x, np.float32)}, deadline=0.0) for x in (1.0, 666.0))
        await pool.run(lambda: model.run(good))
        with pytest.raises(ModelFailed):
            await pool.run(lambda: model.run(bad))
        model.run(good)
        await asyncio.to_thread(model.run, good)  # nobody's concern, like a load
    assert hooks.heard == [("begin", 0), ("end", 0), ("begin", 0), ("end", 0), ("begin", 1), ("end", 1)]


async def test_a_thread_that_is_lost_is_replaced():
    """Who waited for it hears so, others go on, and when it comes back it takes no work."""
    hooks, began, finish, on = Hooks(), threading.Event(), threading.Event(), []
    with ComputePool(1, hooks=hooks) as pool:

        def run_once() -> None:
            pool.runs.begin(IDENTITY, 0.0)
            pool.runs.end()

        def hang() -> None:
            on.append(threading.current_thread())
            pool.runs.begin(IDENTITY, 0.0)
            began.set()
            finish.wait(20)
            pool.runs.end()

        hung = asyncio.create_task(pool.run(hang))
        await asyncio.to_thread(began.wait, 20)
        assert pool.replace("compute-0")
        with pytest.raises(ModelFailed) as caught:
            await hung
        assert caught.value.reason == "RUN_ENDED"
        assert await pool.run(lambda: threading.current_thread().name) == "compute-0.1"
        assert repr(pool) == "<ComputePool [1 threads, lost 1, queued 0]>"
        await pool.run(run_once)
        finish.set()
        await asyncio.to_thread(on[0].join, 20)
        assert not on[0].is_alive()
        assert await pool.run(lambda: threading.current_thread().name) == "compute-0.1"
    # What runs in its place has another slot: should the process die of the lost run, its slot still says which it was.
    assert hooks.heard == [("begin", 0), ("begin", 2), ("end", 2), ("end", 0)]


async def test_threads_are_not_replaced_without_end():
    """Each that is lost keeps what it held; and who has no such name is not there."""
    finish = threading.Event()
    with ComputePool(1) as pool:
        assert not pool.replace("compute-7")
        waiting, replaced = [], []
        for lost in range(MOST_LOST + 1):
            began = threading.Event()
            waiting.append(asyncio.create_task(pool.run(lambda began=began: (began.set(), finish.wait(20)))))
            await asyncio.to_thread(began.wait, 20)
            replaced.append(pool.replace(f"compute-0.{lost}" if lost else "compute-0"))
        finish.set()
        await asyncio.wait(waiting)
    assert replaced == [True] * MOST_LOST + [False]


async def test_a_thread_that_has_no_successor_stays_in_the_pool():
    """The system gives none: nobody is told that a run ended which goes on, and the pool is as large as before."""
    began, finish = threading.Event(), threading.Event()
    with ComputePool(1) as pool:
        hung = asyncio.create_task(pool.run(lambda: (began.set(), finish.wait(20))))
        await asyncio.to_thread(began.wait, 20)
        with no_threads():
            assert not pool.replace("compute-0")
        finish.set()
        assert await hung == (None, True)
        assert await pool.run(lambda: threading.current_thread().name) == "compute-0"
        assert repr(pool) == "<ComputePool [1 threads, queued 0]>"


def test_a_run_that_nobody_waits_for_any_more_does_not_begin():
    """It stood ready in the queue of the pool while the runs before it took longer than they should."""
    hooks = Hooks()
    runs = RunsInProgress(hooks, clock=lambda: 10.0)
    runs.take_seat(0)
    with pytest.raises(DeadlinePassed, match="before a thread was free"):
        runs.begin(IDENTITY, 9.9)
    assert (runs.under_way(), hooks.heard) == ([], [])
    runs.begin(IDENTITY, 10.1)
    runs.end()
    runs.begin(IDENTITY, 0.0)  # nobody said when
    runs.leave()
    assert hooks.heard == [("begin", 0), ("end", 0), ("begin", 0)]
