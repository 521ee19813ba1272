"""Limits of waiting and of running, kept by one timer."""

import asyncio

from serinus.core.errors import DeadlinePassed, Overloaded
from serinus.serving.batching.batch_queue import BatchQueue, Entry
from serinus.serving.batching.expiry import Expiry
from tests.support.fakes import FAR, request
from tests.support.virtual_loop import virtual


class Watch:
    """An Expiry and what it ended, when and how."""

    def __init__(self, queue_timeout_s: float | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.looks = 0
        self.ends: list[tuple[float, type]] = []
        self.expiry = Expiry(self.loop, self._time, queue_timeout_s)
        self.queue = BatchQueue()

    def _time(self) -> float:
        self.looks += 1
        return self.loop.time()

    def entry(self, deadline: float) -> Entry:
        entry = Entry(request(1, deadline=deadline), None, 1, self.loop.time(), self.loop.create_future())
        self.queue.push(entry)
        entry.answer.add_done_callback(lambda answer: self.ends.append((self.loop.time(), type(answer.exception()))))
        self.expiry.watch(entry)
        return entry


@virtual
async def test_each_ends_at_its_own_limit():
    """In whatever order they came."""
    watch = Watch()
    for deadline in (3.0, 1.0, 2.0, FAR):
        watch.entry(deadline)
    await asyncio.sleep(10)
    assert watch.ends == [(1.0, DeadlinePassed), (2.0, DeadlinePassed), (3.0, DeadlinePassed)]


@virtual
async def test_waiting_is_limited_and_running_is_not():
    """The queue time-out counts only while the call waits; the earlier limit holds."""
    watch = Watch(queue_timeout_s=1.0)
    taken = watch.entry(5.0)
    watch.entry(5.0)
    watch.entry(0.5)
    await asyncio.sleep(0.7)
    watch.queue.remove([taken])
    await asyncio.sleep(10)
    assert watch.ends == [(0.5, DeadlinePassed), (1.0, Overloaded), (5.0, DeadlinePassed)]


@virtual
async def test_who_left_is_forgotten():
    """Answered, cancelled and forgotten entries are left alone, and closing stops the timer."""
    watch = Watch()
    entries = [watch.entry(1.0) for _ in range(3)]
    entries[0].answer.cancel()
    watch.expiry.forget(entries[1])
    watch.expiry.forget(entries[1])
    last = watch.entry(2.0)
    await asyncio.sleep(1.5)
    assert (entries[1].answer.done(), entries[2].answer.done(), repr(watch.expiry)) == (
        False,
        True,
        "<Expiry 3 watched>",
    )
    watch.expiry.close()
    await asyncio.sleep(10)
    assert not last.answer.done()


@virtual
async def test_a_crowd_is_looked_through_once_a_millisecond():
    """A thousand limits within a hundredth of a second do not mean a thousand looks; nobody is a millisecond late."""
    watch = Watch()
    deadlines = [1.0 + step * 1e-5 for step in range(1000)]
    for deadline in deadlines:
        watch.entry(deadline)
    await asyncio.sleep(10)
    assert watch.looks <= 12
    late_s = [ended_at - deadline for (ended_at, _), deadline in zip(watch.ends, deadlines, strict=True)]
    assert min(late_s) >= 0
    assert max(late_s) <= 0.001 + 1e-9
