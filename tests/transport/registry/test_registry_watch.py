"""Changes of the registry, streamed to many who watch at their own pace."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import pytest

from serinus.core.errors import StoreUnavailable
from serinus.transport.registry.watch import RecentChanges
from serinus.transport.service import typed_answers
from serinus_api.v1 import registry_pb2 as pb
from tests.support.fakes import settle
from tests.transport.fake_context import FakeContext
from tests.transport.registry.registry_fakes import FakeRegistry
from tests.transport.registry.registry_on_grpc import Registry, refusal, running


@pytest.fixture
async def served() -> AsyncIterator[Registry]:
    async with running() as made:
        yield made


async def take(call: Any, count: int) -> list[int]:
    """The next revisions."""
    async with asyncio.timeout(20):
        return [(await call.read()).change.revision for _ in range(count)]


class Watcher:
    """One who watches, with a window that a test opens and closes."""

    def __init__(self, recent: RecentChanges, *, after: int = 0, model: str = "") -> None:
        self.context = FakeContext()
        method = typed_answers(pb.WatchRequest, lambda asked, _context: recent.watch(asked))
        asked = pb.WatchRequest(after_revision=after, model=model).SerializeToString()
        self.task = asyncio.ensure_future(method(asked, self.context))  # type: ignore[arg-type]  # a fake

    @property
    def seen(self) -> list[int]:
        return [pb.WatchResponse.FromString(each).change.revision for each in self.context.written]

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))


async def leave(watchers: Iterable[Watcher]) -> None:
    for watcher in watchers:
        await watcher.leave()


def registry(writes: int) -> FakeRegistry:
    """One with so many writes, of which this server has heard."""
    made = FakeRegistry()
    for _ in range(writes):
        made.write()
    made.tell()
    return made


async def test_what_was_written_comes_first_and_then_what_is_written(served: Registry):
    """In order, each once, with what it was and what it is."""
    served.registry.write(action="version.register", after={"number": 1})
    served.registry.write()
    served.registry.tell()
    call = served.stream("Watch", pb.WatchRequest())
    first = (await call.read()).change
    assert (first.revision, first.actor, first.action, first.model, first.version) == (
        1,
        "ann",
        "version.register",
        "m",
        "1.0.0",
    )
    assert (first.before_json, first.after_json, first.at.seconds) == ("{}", '{"number":1}', 1_795_262_400)
    assert await take(call, 1) == [2]
    served.registry.write()
    served.registry.tell()
    assert await take(call, 1) == [3]
    call.cancel()


async def test_only_what_is_asked_for_comes(served: Registry):
    """One model's changes, after the revision that the watcher has seen."""
    for model in ("m", "other", "m", "other", "m"):
        served.registry.write(model)
    served.registry.tell()
    call = served.stream("Watch", pb.WatchRequest(after_revision=1, model="m"))
    assert await take(call, 2) == [3, 5]
    served.registry.write("other")
    served.registry.write("m")
    served.registry.tell()
    assert await take(call, 1) == [7]
    call.cancel()


@pytest.mark.usefixtures("nothing_left_behind")
async def test_many_who_watch_closely_cost_one_read_for_each_change():
    """They are served from what one of them has read."""
    source = registry(1000)
    recent = RecentChanges(source, source)
    watchers = [Watcher(recent, after=1000) for _ in range(100)]
    await settle()
    source.audits.clear()
    for revision in range(1001, 1006):
        source.write()
        source.tell()
        while any(watcher.seen[-1:] != [revision] for watcher in watchers):
            await settle()
    assert {tuple(watcher.seen) for watcher in watchers} == {(1001, 1002, 1003, 1004, 1005)}
    assert len(source.audits) == 5
    await leave(watchers)


@pytest.mark.usefixtures("nothing_left_behind")
async def test_one_who_does_not_read_holds_a_page_and_misses_nothing():
    """However much is written meanwhile: the audit keeps it."""
    source = registry(3)
    recent = RecentChanges(source, source)
    slow, quick = Watcher(recent), Watcher(recent, after=3)
    slow.context.window.clear()
    await settle()
    for _ in range(50):
        for _ in range(40):
            source.write()
        source.tell()
        await settle()
    async with asyncio.timeout(20):
        await quick.context.until_written(2000)
    assert quick.seen == list(range(4, 2004))
    read = len(source.audits)
    await settle()
    assert (slow.seen, len(source.audits)) == ([], read)
    slow.context.window.set()
    while len(slow.seen) < 2003:
        await settle()
    assert slow.seen == list(range(1, 2004))
    assert max(limit for _, _, limit in source.audits) <= 256
    await leave([slow, quick])


@pytest.mark.usefixtures("nothing_left_behind")
@pytest.mark.parametrize("model", ["", "m"])
@pytest.mark.parametrize("after", [0, 1, 99, 100, 255, 256, 400, 743, 744, 745, 999, 1000])
async def test_a_watcher_may_begin_anywhere(after: int, model: str):
    """In memory, behind it, and at the edges of its pages; a watcher before has left something in memory or nothing."""
    source = registry(1000)
    recent = RecentChanges(source, source)
    other = Watcher(recent, after=1000)
    await settle()
    source.write()
    source.tell()
    await settle()
    watcher = Watcher(recent, after=after, model=model)
    while len(watcher.seen) < 1001 - after:
        await settle()
    assert watcher.seen == list(range(after + 1, 1002))
    await leave([watcher, other])


@pytest.mark.usefixtures("nothing_left_behind")
async def test_a_server_that_hears_late_sends_what_another_has_heard():
    """A revision beyond what this server knows is no mistake while the audit has it."""
    source = registry(5)
    source.tell(2)
    recent = RecentChanges(source, source)
    watcher = Watcher(recent, after=4)
    await settle()
    assert (watcher.seen, watcher.task.done()) == ([], False)
    source.tell()
    await settle()
    assert watcher.seen == [5]
    await watcher.leave()


async def test_a_revision_that_was_never_reached_is_refused(served: Registry):
    """The registry is another one, or an older copy: who watches must read it anew."""
    served.registry.write()
    served.registry.tell()
    assert await refusal(served.stream("Watch", pb.WatchRequest(after_revision=2))) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "REVISION_AHEAD: after_revision: expected at most 1, which the registry has reached, got 2; read it anew",
    )


async def test_a_registry_that_goes_back_ends_what_is_watched(served: Registry):
    """It was restored from an older copy."""
    served.registry.write()
    served.registry.write()
    served.registry.tell()
    call = served.stream("Watch", pb.WatchRequest())
    assert await take(call, 2) == [1, 2]
    del served.registry.entries[1:]
    served.registry.tell()
    assert await refusal(call) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "REVISION_AHEAD: after_revision: expected at most 1, which the registry has reached, got 2; read it anew",
    )
    fresh = served.stream("Watch", pb.WatchRequest(after_revision=1))
    served.registry.write()
    served.registry.tell()
    assert await take(fresh, 1) == [2]
    fresh.cancel()


@pytest.mark.usefixtures("nothing_left_behind")
async def test_writes_that_are_told_of_and_not_there_keep_nobody_busy():
    """The audit is read once for each word of them."""
    source = registry(3)
    recent = RecentChanges(source, source)
    watcher = Watcher(recent)
    await settle()
    source.tell(9)
    await settle()
    read = len(source.audits)
    await settle()
    assert (watcher.seen, len(source.audits)) == ([1, 2, 3], read)
    await watcher.leave()


async def test_an_audit_that_cannot_be_read_ends_the_stream_with_when_to_come_back(served: Registry):
    """The watcher goes on from the last revision that it has seen."""
    served.registry.write()
    served.registry.tell()
    served.registry.failure = StoreUnavailable("the database cannot be reached")
    assert await refusal(served.stream("Watch", pb.WatchRequest())) == (
        grpc.StatusCode.UNAVAILABLE,
        "STORE_UNAVAILABLE: the database cannot be reached",
    )


async def test_the_drain_ends_what_is_watched_and_what_comes(served: Registry):
    """Whoever watches goes to another server."""
    served.registry.write()
    served.registry.tell()
    call = served.stream("Watch", pb.WatchRequest())
    assert await take(call, 1) == [1]
    served.drain.begin()
    expected = (grpc.StatusCode.UNAVAILABLE, "DRAINING: the server is going away")
    assert await refusal(call) == expected
    assert await refusal(served.stream("Watch", pb.WatchRequest())) == expected


async def test_a_name_that_nothing_can_have_is_refused(served: Registry):
    """It would never be heard of."""
    code, _ = await refusal(served.stream("Watch", pb.WatchRequest(model="../m")))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_watchers_that_vanish_leave_nothing_behind(served: Registry):
    """By a cancelled call and by a closed connection; `running` waits for every task."""
    served.registry.write()
    served.registry.tell()
    calls = [served.stream("Watch", pb.WatchRequest()) for _ in range(10)]
    for call in calls:
        await take(call, 1)
    for call in calls[:5]:
        call.cancel()
    await served.channel.close()
