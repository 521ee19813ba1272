"""The threads on which models are loaded."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable

import pytest

from serinus.core.errors import ModelRejected
from serinus.runtime.load_threads import LoadThreads
from tests.support.fakes import settle
from tests.support.virtual_loop import virtual


class Work:
    """A load that a test ends by hand.

    Attributes:
        started: Set on its thread.
        may_end: It waits for that.
        discarded: What was made for nobody.
    """

    def __init__(self, made: object = "model") -> None:
        self.started = threading.Event()
        self.may_end = threading.Event()
        self.made = made
        self.discarded: list[object] = []
        self.thread: threading.Thread | None = None

    def __call__(self) -> object:
        self.thread = threading.current_thread()
        self.started.set()
        assert self.may_end.wait(60)
        if isinstance(self.made, BaseException):
            raise self.made
        return self.made

    async def load(self, threads: LoadThreads) -> object:
        async with threads.turn() as turn:
            return await turn.run(self, name="m@1.0.0", discard=self.discarded.append)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await settle()


def pause() -> None:
    """Threads need real time, which a virtual loop's is not."""
    time.sleep(0.001)


async def test_a_load_runs_on_a_thread_of_its_own_behind_the_event_loop():
    """A daemon with a name by which it is known when it never ends."""
    nice: list[int] = []

    def work() -> threading.Thread:
        nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return threading.current_thread()

    async with LoadThreads().turn() as turn:
        thread = await turn.run(work, name="m@1.0.0", discard=lambda _: None)
    assert (thread.name, thread.daemon) == ("load-m@1.0.0", True)
    assert sys.platform != "linux" or nice[0] > os.getpriority(os.PRIO_PROCESS, 0)


async def test_a_load_leaves_the_event_loop_its_turns():
    """Python's own turns are 5 ms."""
    async with LoadThreads().turn() as turn:
        assert await turn.run(sys.getswitchinterval, name="m@1.0.0", discard=lambda _: None) < 0.005


@pytest.mark.parametrize("error", [ModelRejected("bad"), StopIteration(), ValueError("a bug")])
async def test_what_a_load_raises_reaches_its_caller(error: Exception):
    """Even what a future does not take."""
    work = Work(error)
    work.may_end.set()
    with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)):
        await work.load(LoadThreads())


async def test_loads_wait_for_their_turn():
    """In the order in which they came; as many run as may."""
    threads = LoadThreads(at_once=2)
    works = [Work(index) for index in range(4)]
    loads = [asyncio.create_task(work.load(threads)) for work in works]
    await until(lambda: works[0].started.is_set() and works[1].started.is_set())
    assert not works[2].started.is_set()
    works[1].may_end.set()
    await until(works[2].started.is_set)
    assert not works[3].started.is_set()
    for work in works:
        work.may_end.set()
    assert await asyncio.gather(*loads) == [0, 1, 2, 3]


async def test_a_load_whose_caller_goes_keeps_its_place_until_it_ends():
    """What it made is discarded then; the next one starts."""
    threads, gone, after = LoadThreads(), Work(), Work()
    load = asyncio.create_task(gone.load(threads))
    await until(gone.started.is_set)
    load.cancel()
    await asyncio.wait((load,))
    assert load.cancelled()
    waiting = asyncio.create_task(after.load(threads))
    await asyncio.sleep(0.01)
    assert not after.started.is_set()
    gone.may_end.set()
    after.may_end.set()
    assert await waiting == "model"
    assert (gone.discarded, after.discarded) == (["model"], [])


async def test_a_load_that_ends_as_its_caller_goes_is_discarded():
    """In the very turn of the loop in which its outcome came."""
    threads, work = LoadThreads(), Work()
    load = asyncio.create_task(work.load(threads))
    await until(work.started.is_set)
    work.may_end.set()
    assert work.thread is not None
    work.thread.join()  # the loop does not turn meanwhile: the outcome waits for it
    asyncio.get_running_loop().call_soon(load.cancel)
    await asyncio.wait((load,))
    assert (load.cancelled(), work.discarded) == (True, ["model"])
    other = Work()
    other.may_end.set()
    assert await other.load(threads) == "model"


async def test_who_waits_for_a_turn_may_go():
    """Nothing starts for it, and no place is lost."""
    threads, first, gone = LoadThreads(), Work(), Work()
    load = asyncio.create_task(first.load(threads))
    await until(first.started.is_set)
    waiting = asyncio.create_task(gone.load(threads))
    await asyncio.sleep(0)
    waiting.cancel()
    first.may_end.set()
    assert await load == "model"
    last = Work()
    last.may_end.set()
    assert await last.load(threads) == "model"
    assert not gone.started.is_set()


async def test_a_turn_that_is_not_used_gives_its_place_back():
    """There was no room for the version, for instance."""
    threads = LoadThreads()
    with pytest.raises(ModelRejected):
        async with threads.turn():
            raise ModelRejected("no room")
    work = Work()
    work.may_end.set()
    assert await work.load(threads) == "model"


@virtual
async def test_a_load_that_takes_too_long_is_given_up():
    """It goes on beside the next ones, and what it makes in the end is discarded."""
    threads, slow, next_one = LoadThreads(timeout_s=300.0), Work(), Work()
    try:
        with pytest.raises(ModelRejected) as refused:
            await slow.load(threads)
        assert (refused.value.reason, refused.value.message) == ("LOAD_TIMEOUT", "took longer than 300 s to load")
        assert (asyncio.get_running_loop().time(), threads.stuck) == (300.0, 1)
        with pytest.raises(ModelRejected):
            await next_one.load(threads)
        assert (asyncio.get_running_loop().time(), threads.stuck) == (600.0, 2)
    finally:
        slow.may_end.set()
        next_one.may_end.set()
    while threads.stuck:
        pause()
        await asyncio.sleep(0)
    assert (slow.discarded, next_one.discarded) == (["model"], ["model"])


@virtual
async def test_too_many_loads_that_never_end_keep_others_from_starting():
    """Each holds a thread and memory; the sentence says what helps."""
    threads, works = LoadThreads(timeout_s=1.0, most_stuck=2), [Work(), Work(), Work()]
    try:
        for work in works[:2]:
            with pytest.raises(ModelRejected, match="took longer than 1 s to load"):
                await work.load(threads)
        with pytest.raises(ModelRejected) as refused:
            await works[2].load(threads)
        assert (refused.value.reason, works[2].started.is_set()) == ("LOADS_STUCK", False)
        assert refused.value.message == (
            "2 earlier loads took longer than 1 s and still go on: expected fewer than 2; a server that is started anew"
            " is rid of them"
        )
    finally:
        for work in works:
            work.may_end.set()
    while threads.stuck:
        pause()
        await asyncio.sleep(0)
