"""The moment at which the server begins to go away."""

import asyncio

import pytest

from serinus.core.errors import Draining
from serinus.transport.drain import Drain
from tests.support.fakes import settle
from tests.support.virtual_loop import virtual


async def test_calls_are_welcome_until_it_begins():
    """Then they are refused by name, for as long as the server lives."""
    drain = Drain()
    drain.arrive()
    assert not drain.has_begun
    drain.begin()
    assert drain.has_begun
    for _ in range(2):
        with pytest.raises(Draining) as refusal:
            drain.arrive()
        assert (refusal.value.reason, refusal.value.message) == ("DRAINING", "the server is going away")


async def test_what_ends_by_itself_is_not_cancelled():
    """And the wait ends with it."""
    drain = Drain()
    gate = asyncio.Event()
    job = asyncio.create_task(gate.wait())
    waiting = asyncio.create_task(drain.first_of(job))
    await settle()
    assert not waiting.done()
    gate.set()
    await waiting
    assert job.result() is True


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_would_go_on_is_cancelled_when_the_drain_begins(when: str):
    """And has ended when the wait does; a drain that began before counts too."""
    drain = Drain()
    job = asyncio.create_task(asyncio.Event().wait())
    if when == "before":
        drain.begin()
    waiting = asyncio.create_task(drain.first_of(job))
    await settle()
    if when == "after":
        assert not waiting.done()
        drain.begin()
    await waiting
    assert job.cancelled()


async def test_a_wait_that_is_cancelled_leaves_no_task_behind():
    """The job is its owner's."""
    before = asyncio.all_tasks()
    drain = Drain()
    job = asyncio.create_task(asyncio.Event().wait())
    waiting = asyncio.create_task(drain.first_of(job))
    await settle()
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert (waiting.cancelled(), job.done()) == (True, False)
    job.cancel()
    await settle()
    assert asyncio.all_tasks() == before


async def test_a_job_that_is_run_raises_what_it_raises():
    """As if it had been awaited."""

    async def job() -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        await Drain().run(job())


async def test_a_job_that_is_run_ends_with_the_drain():
    """Without a word."""
    drain = Drain()
    ended: list[str] = []

    async def job() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    running = asyncio.create_task(drain.run(job()))
    await settle()
    drain.begin()
    await running
    assert ended == ["cancelled"]


def turned_away(drain: Drain) -> None:
    with pytest.raises(Draining):
        drain.arrive()


def virtual_drain() -> Drain:
    return Drain(clock=asyncio.get_running_loop().time)


@virtual
async def test_it_is_quiet_when_nobody_has_called_for_a_while():
    """Counted from the beginning of the drain, or from the last call that was turned away."""
    drain, loop = virtual_drain(), asyncio.get_running_loop()
    await asyncio.sleep(10)
    drain.begin()
    for moment in (0.5, 1.2):
        loop.call_at(10 + moment, turned_away, drain)
    await drain.quiet(silence_s=1.0, at_most_s=60.0)
    assert loop.time() == pytest.approx(12.2)


@virtual
async def test_clients_that_never_stop_calling_are_not_waited_for():
    """Longer than at most."""
    drain, loop = virtual_drain(), asyncio.get_running_loop()
    drain.begin()

    async def call_for_ever() -> None:
        while True:
            turned_away(drain)
            await asyncio.sleep(0.3)

    calling = asyncio.create_task(call_for_ever())
    await drain.quiet(silence_s=1.0, at_most_s=5.0)
    assert loop.time() == pytest.approx(5.0)
    calling.cancel()
