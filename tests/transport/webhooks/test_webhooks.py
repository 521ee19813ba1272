"""What receivers hear of rollouts, and in which order."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import itertools
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from serinus.config.errors import ConfigError
from serinus.config.sections import WebhookSettings
from serinus.core.errors import StoreUnavailable
from serinus.registry.rollout_records import JournalEntry
from serinus.telemetry.outcome import Delivery
from serinus.transport.webhooks.delivering import Backoff, Webhooks, body_of
from serinus.transport.webhooks.post import NotDelivered, Post, Rejected
from serinus.transport.webhooks.urls import Hook
from tests.support.receivers import receiving
from tests.support.virtual_loop import virtual

START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ONE, TWO = "http://127.0.0.1:1/one", "http://127.0.0.1:2/two"


def entry(place: int, *, at: dt.datetime = START, **parts) -> JournalEntry:
    """The entry of that place, of one rollout from its beginning."""
    defaults = JournalEntry(
        place=place,
        rollout="r-1",
        model="magika",
        number=place,
        at=at,
        actor="ada",
        event="judged",
        status="running",
        reason=f"reason {place}",
        numbers={"errors": 0.5},
    )
    return dataclasses.replace(defaults, **parts)


class FakeJournal:
    """A journal in memory.

    Attributes:
        entries: All.
        marks: Place by hook.
        broken: What every method raises while it is set.
        forgets: Marks are not kept, as if the process died before each.
    """

    def __init__(self, *entries: JournalEntry) -> None:
        self.entries = list(entries)
        self.marks: dict[str, int] = {}
        self.broken: Exception | None = None
        self.forgets = False

    async def journal_after(self, place: int, limit: int = 100) -> Sequence[JournalEntry]:
        self._check()
        return [each for each in self.entries if each.place > place][:limit]

    async def last_place(self) -> int:
        self._check()
        return max((each.place for each in self.entries), default=0)

    async def delivered(self, hook: str) -> int | None:
        self._check()
        return self.marks.get(hook)

    async def mark_delivered(self, hook: str, place: int) -> None:
        self._check()
        if not self.forgets:
            self.marks[hook] = max(place, self.marks.get(hook, 0))

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken


class FakeSender:
    """All receivers there are.

    Attributes:
        heard: Ids of what was sent to each URL, tries that failed included.
    """

    def __init__(self, behave: Callable[[str, int], Awaitable[None]] | None = None) -> None:
        self.heard: dict[str, list[str]] = {ONE: [], TWO: []}
        self._behave = behave

    async def send(self, hook: Hook, message_id: str, body: bytes) -> None:
        """Take a message; `behave` is told the URL and how many came before."""
        url = str(hook.url)
        assert json.loads(body)["id"] == message_id
        self.heard[url].append(message_id)
        if self._behave is not None:
            await self._behave(url, len(self.heard[url]) - 1)


class FakeDeliveryMetrics:
    """Writes down how tries ended."""

    def __init__(self) -> None:
        self.ends: list[Delivery] = []

    def delivered(self, outcome: Delivery) -> None:
        """Write down an end."""
        self.ends.append(outcome)


@contextlib.asynccontextmanager
async def telling(
    journal: FakeJournal,
    sender: FakeSender | Post,
    *urls: str,
    metrics: FakeDeliveryMetrics | None = None,
    is_mine: Callable[[], bool] = lambda: True,
    backoff: Backoff | None = None,
) -> AsyncIterator[Webhooks]:
    """Webhooks that run, patient for an hour; the loop starts at START."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    webhooks = Webhooks(
        WebhookSettings(urls=urls, hosts=("127.0.0.1",), give_up_s=3600),
        entries=journal,
        is_mine=is_mine,
        sender=sender,
        metrics=metrics or FakeDeliveryMetrics(),
        clock=lambda: START.timestamp() + loop.time() - began,
        backoff=backoff,
    )
    running = asyncio.create_task(webhooks.run())
    await asyncio.sleep(0.1)
    try:
        yield webhooks
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait([running])


@virtual
async def test_a_new_receiver_hears_what_happens_from_now_on():
    """In order; not what happened before anybody named it."""
    journal, sender = FakeJournal(entry(1), entry(2)), FakeSender()
    async with telling(journal, sender, ONE) as webhooks:
        assert journal.marks == {ONE: 2}
        journal.entries += [entry(3), entry(4), entry(5)]
        webhooks.wake()
        await asyncio.sleep(1)
    assert (sender.heard[ONE], journal.marks) == (["r-1:3", "r-1:4", "r-1:5"], {ONE: 5})


async def test_a_message_arrives_after_a_failure_and_says_what_happened():
    """Over a real connection: one JSON object, under an id that is the same at each try."""
    journal, metrics = FakeJournal(entry(1), entry(2)), FakeDeliveryMetrics()
    async with receiving() as receiver:
        url = f"http://127.0.0.1:{receiver.port}/hook"
        journal.marks[url] = 0
        receiver.statuses = [500, 302]
        post = Post(secret=b"", timeout_s=10, clock=lambda: 0.0)
        quick = Backoff(first_s=0.001, longest_s=0.001, jitter_s=0)
        async with telling(journal, post, url, metrics=metrics, backoff=quick):
            await receiver.has(4)
    ids = [got.headers["idempotency-key"] for got in receiver.requests]
    assert ids == ["r-1:1"] * 3 + ["r-1:2"]
    assert metrics.ends[:3] == [Delivery.FAILED, Delivery.FAILED, Delivery.DELIVERED]
    assert json.loads(receiver.requests[0].body) == {
        "id": "r-1:1",
        "model": "magika",
        "rollout": "r-1",
        "event": "judged",
        "status": "running",
        "reason": "reason 1",
        "at": "2026-03-01T12:00:00+00:00",
        "numbers": {"errors": 0.5},
    }


def test_numbers_that_json_cannot_say_are_left_out():
    """A receiver would refuse all of it because of them."""
    assert json.loads(body_of(entry(1, numbers={"e": math.inf})))["numbers"] == {}


def failing(times: int) -> FakeSender:
    """Fails that many times."""

    async def behave(_url: str, before: int) -> None:
        if before < times:
            raise NotDelivered("down")

    return FakeSender(behave)


@virtual
async def test_a_failure_is_tried_again_and_the_order_is_kept(caplog: pytest.LogCaptureFixture):
    """What came later waits for what came first; the log hears of the first failure alone."""
    metrics, sender, journal = FakeDeliveryMetrics(), failing(3), FakeJournal(entry(1), entry(2))
    journal.marks[ONE] = 0
    async with telling(journal, sender, ONE, metrics=metrics):
        await asyncio.sleep(20)
    assert sender.heard[ONE] == ["r-1:1"] * 4 + ["r-1:2"]
    assert metrics.ends == [Delivery.FAILED] * 3 + [Delivery.DELIVERED] * 2
    assert [record.msg["event"] for record in caplog.records] == ["webhook not delivered"]


@virtual
async def test_waits_grow_up_to_a_minute():
    """So that a receiver that is down is not flooded, and hears soon once it is back."""
    at: list[float] = []
    loop = asyncio.get_running_loop()

    async def behave(_url: str, _before: int) -> None:
        at.append(loop.time())
        raise NotDelivered("down")

    journal = FakeJournal(entry(1))
    journal.marks[ONE] = 0
    async with telling(journal, FakeSender(behave), ONE, backoff=Backoff(jitter_s=0)):
        await asyncio.sleep(300)
    assert [round(later - earlier) for earlier, later in itertools.pairwise(at)][:8] == [
        1,
        2,
        4,
        8,
        16,
        32,
        60,
        60,
    ]


@virtual
async def test_a_receiver_that_is_down_holds_up_nobody_else():
    """Each has its own turn."""
    up = asyncio.Event()

    async def behave(url: str, _before: int) -> None:
        if url == ONE:
            await up.wait()

    journal, sender = FakeJournal(entry(1), entry(2)), FakeSender(behave)
    journal.marks = {ONE: 0, TWO: 0}
    async with telling(journal, sender, ONE, TWO):
        assert journal.marks == {ONE: 0, TWO: 2}
        up.set()
        await asyncio.sleep(1)
        assert (journal.marks, sender.heard[ONE]) == ({ONE: 2, TWO: 2}, sender.heard[TWO])


@virtual
async def test_a_rejected_message_does_not_hold_up_the_next():
    """The receiver would never take it."""

    async def behave(_url: str, before: int) -> None:
        if before == 0:
            raise Rejected("422")

    metrics, journal, sender = FakeDeliveryMetrics(), FakeJournal(entry(1), entry(2)), FakeSender(behave)
    journal.marks[ONE] = 0
    async with telling(journal, sender, ONE, metrics=metrics):
        assert (sender.heard[ONE], metrics.ends) == (["r-1:1", "r-1:2"], [Delivery.DROPPED, Delivery.DELIVERED])


@virtual
async def test_what_was_not_delivered_for_too_long_is_dropped(caplog: pytest.LogCaptureFixture):
    """Counted from when it happened, whoever has tried since; the log says so. The next one has its own time."""
    metrics, sender = FakeDeliveryMetrics(), failing(10**6)
    old, new = entry(1, at=START - dt.timedelta(hours=2)), entry(2)
    journal = FakeJournal(old, new, entry(3, at=START + dt.timedelta(hours=1)))
    journal.marks[ONE] = 0
    async with telling(journal, sender, ONE, metrics=metrics):
        await asyncio.sleep(3599)
        assert (set(sender.heard[ONE]), metrics.ends.count(Delivery.DROPPED)) == ({"r-1:2"}, 1)
        await asyncio.sleep(100)
        assert (sender.heard[ONE][-1], metrics.ends.count(Delivery.DROPPED)) == ("r-1:3", 2)
    assert [record.msg["id"] for record in caplog.records if record.levelname == "ERROR"] == ["r-1:1", "r-1:2"]


@virtual
async def test_tries_go_on_for_as_long_as_there_is_time():
    """Over night, and however large the numbers get."""
    sender, journal = failing(2000), FakeJournal(entry(1, at=START + dt.timedelta(days=3)))
    journal.marks[ONE] = 0
    async with telling(journal, sender, ONE):
        await asyncio.sleep(2 * 86_400)
    assert (len(sender.heard[ONE]), journal.marks) == (2001, {ONE: 1})


@virtual
async def test_a_restart_goes_on_at_the_mark():
    """Nothing twice, nothing left out."""
    journal, sender = FakeJournal(entry(1), entry(2)), FakeSender()
    journal.marks[ONE] = 0
    async with telling(journal, sender, ONE):
        assert journal.marks == {ONE: 2}
    journal.entries += [entry(3), entry(4)]
    async with telling(journal, sender, ONE):
        pass
    assert sender.heard[ONE] == ["r-1:1", "r-1:2", "r-1:3", "r-1:4"]


@virtual
async def test_a_death_before_the_mark_tells_again_under_the_same_id():
    """At least once; the receiver can tell. The server that told it does not repeat itself."""
    journal, sender = FakeJournal(entry(1)), FakeSender()
    journal.marks[ONE] = 0
    journal.forgets = True
    async with telling(journal, sender, ONE) as webhooks:
        journal.entries.append(entry(2))
        webhooks.wake()
        await asyncio.sleep(1)
    journal.forgets = False
    async with telling(journal, sender, ONE):
        pass
    assert sender.heard[ONE] == ["r-1:1", "r-1:2", "r-1:1", "r-1:2"]


@virtual
async def test_only_one_server_tells():
    """The others keep quiet until it is their turn, which nobody tells them, and go on where the one before stopped."""
    turn = False
    journal, sender = FakeJournal(), FakeSender()
    async with telling(journal, sender, ONE, is_mine=lambda: turn) as webhooks:
        journal.entries += [entry(1), entry(2)]
        webhooks.wake()
        await asyncio.sleep(60)
        assert (sender.heard[ONE], journal.marks) == ([], {ONE: 0})
        journal.marks[ONE] = 1
        turn = True
        await asyncio.sleep(6)
    assert (sender.heard[ONE], journal.marks) == (["r-1:2"], {ONE: 2})


@virtual
async def test_a_server_whose_turn_is_over_stops_trying():
    """In the middle of its tries; the successor has begun."""
    turn = True
    metrics, journal, sender = FakeDeliveryMetrics(), FakeJournal(entry(1)), failing(10**6)
    journal.marks[ONE] = 0
    async with telling(journal, sender, ONE, metrics=metrics, is_mine=lambda: turn):
        await asyncio.sleep(2)
        tries = len(sender.heard[ONE])
        turn = False
        await asyncio.sleep(600)
    assert tries == len(sender.heard[ONE]) == len(metrics.ends)
    assert set(metrics.ends) == {Delivery.FAILED}


@pytest.mark.parametrize(
    ("trouble", "event"), [(StoreUnavailable("gone"), "webhook waits"), (KeyError("a bug"), "webhook failed")]
)
@virtual
async def test_a_journal_that_cannot_be_read_is_no_end(
    caplog: pytest.LogCaptureFixture, trouble: Exception, event: str
):
    """A database comes back, and is asked again by itself."""
    journal, sender = FakeJournal(entry(1)), FakeSender()
    journal.marks[ONE] = 0
    journal.broken = trouble
    async with telling(journal, sender, ONE):
        journal.broken = None
        await asyncio.sleep(10)
    assert (sender.heard[ONE], [record.msg["event"] for record in caplog.records]) == (["r-1:1"], [event])


def webhooks_of(*urls: str, hosts: Sequence[str] = ("127.0.0.1",)) -> Webhooks:
    return Webhooks(
        WebhookSettings(urls=urls, hosts=tuple(hosts)),
        entries=FakeJournal(),
        is_mine=lambda: True,
        sender=FakeSender(),
        metrics=FakeDeliveryMetrics(),
    )


@virtual
async def test_no_urls_are_nothing_to_do():
    """The job ends by itself."""
    webhooks = webhooks_of()
    webhooks.wake()
    await webhooks.run()


def test_a_url_that_is_named_twice_is_told_once():
    """And its path does not show."""
    assert repr(webhooks_of(ONE, ONE, TWO)) == "<Webhooks http://127.0.0.1:1, http://127.0.0.1:2>"


def test_urls_that_may_not_be_told_are_refused_at_start():
    """All of them at once, in sentences."""
    with pytest.raises(ConfigError) as caught:
        webhooks_of("http://a.example/", "https://b.example/", hosts=("a.example",))
    assert caught.value.problems == (
        "webhooks.urls: 'http://a.example': expected https; http is for this machine alone",
        "webhooks.urls: 'https://b.example': expected one of the hosts in webhooks.hosts",
    )
