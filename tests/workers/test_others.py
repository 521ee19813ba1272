"""What one worker asks all others through their supervisor."""

import asyncio

import pytest

from serinus.workers.control import Body, ChannelLost, NotAnswered
from serinus.workers.facts import WorkerState
from serinus.workers.kept_counts import KeptCounts
from serinus.workers.others import SILENCE_S, Others
from tests.support.fakes import settle
from tests.workers.fake_crew import FakeCrew, facts

ASKED = {"kind": "say", "body": {"method": "Index"}, "wait_s": 0.5}
CALL = ("say", {"method": "Index"})


async def test_all_but_the_one_that_asks_answer():
    """In the order of their places."""
    crew = FakeCrew(1, 2, 3)
    crew.answers = {1: {"answer": "one"}, 3: {"answer": "three"}}
    assert await Others(lambda: crew, counts=KeptCounts()).ask(2, ASKED) == {
        "answers": [{"answer": "one"}, {"answer": "three"}]
    }
    assert crew.asked == [(1, *CALL), (3, *CALL)]


async def test_who_cannot_answer_is_left_out():
    """Also who does not serve, or not any more: it gets no calls."""
    crew = FakeCrew(1, 2, 3)
    crew.answers = {2: ChannelLost("gone"), 3: NotAnswered("not here")}
    crew.present += [facts(4, WorkerState.STARTING), facts(5, WorkerState.LEAVING)]
    assert await Others(lambda: crew, counts=KeptCounts()).ask(1, ASKED) == {"answers": []}
    assert crew.asked == [(2, *CALL), (3, *CALL)]


async def test_who_was_silent_is_not_waited_for_again():
    """Until a while later; the process that follows it is another one."""
    now, crew = 100.0, FakeCrew(1, 2)
    others = Others(lambda: crew, counts=KeptCounts(), clock=lambda: now)
    crew.answers = {2: TimeoutError()}
    await others.ask(1, ASKED)
    now += SILENCE_S - 0.1
    await others.ask(1, ASKED)
    assert crew.asked == [(2, *CALL)]
    crew.answers = {2: {"answer": "two"}}
    now += 0.2
    assert await others.ask(1, ASKED) == {"answers": [{"answer": "two"}]}


async def test_only_what_workers_answer_each_other_is_passed_on():
    """The supervisor's own word, such as to leave, is not theirs."""
    crew = FakeCrew(1, 2)
    with pytest.raises(NotAnswered, match="nobody is asked for 'leave'"):
        await Others(lambda: crew, counts=KeptCounts()).ask(1, {**ASKED, "kind": "leave"})
    assert crew.asked == []


async def test_what_those_have_counted_that_are_gone_is_added():
    """For a worker that leaves its own counts too; those of one that does not answer count as they were."""
    crew, counts = FakeCrew(1, 2, 3), KeptCounts()
    others = Others(lambda: crew, counts=counts)
    asked = {**ASKED, "kept": {"pid": 101, "counts": {"m": {"calls": 1}}}}
    crew.answers = {index: {"pid": 100 + index, "counts": {"m": {"calls": 10**index}}} for index in (2, 3)}
    assert await others.ask(1, asked) == {"answers": [crew.answers[2], crew.answers[3]], "missing": {}}
    counts.gone(102)
    crew.answers[2], crew.answers[3] = {"pid": 202, "counts": {"m": {"calls": 5}}}, NotAnswered("not now")
    assert await others.ask(1, asked) == {"answers": [crew.answers[2]], "missing": {"m": {"calls": 1100}}}
    assert await others.ask(1, ASKED) == {"answers": [crew.answers[2]]}


class OneHangs(FakeCrew):
    """A crew whose third worker answers once it may; the others do at once."""

    def __init__(self) -> None:
        super().__init__(1, 2, 3)
        self.may_answer = asyncio.Event()

    async def ask(self, index: int, kind: str, body: Body, *, timeout_s: float) -> Body:
        if index == 3:
            await self.may_answer.wait()
        return await super().ask(index, kind, body, timeout_s=timeout_s)


async def test_who_dies_after_its_answer_is_counted_once():
    """While another one is waited for: what it said last counts, and neither more before nor less afterwards."""
    crew, counts = OneHangs(), KeptCounts()
    others = Others(lambda: crew, counts=counts)
    asked = {**ASKED, "kept": {"pid": 101, "counts": {"m": {"calls": 0}}}}
    counts.seen(102, {"m": {"calls": 90}})
    crew.answers = {2: {"pid": 102, "counts": {"m": {"calls": 100}}}, 3: NotAnswered("not now")}
    asking = asyncio.create_task(others.ask(1, asked))
    await crew.was_asked(1)
    await settle()
    counts.gone(102)
    crew.may_answer.set()
    assert await asking == {"answers": [], "missing": {"m": {"calls": 100}}}
    crew.answers[2] = ChannelLost("gone")
    assert await others.ask(1, asked) == {"answers": [], "missing": {"m": {"calls": 100}}}


async def test_what_a_worker_says_when_it_leaves_is_not_overwritten_by_an_answer_before():
    """The answer came first, although others were waited for until after the last word."""
    crew, counts = OneHangs(), KeptCounts()
    others = Others(lambda: crew, counts=counts)
    asked = {**ASKED, "kept": {"pid": 101, "counts": {"m": {"calls": 0}}}}
    crew.answers = {2: {"pid": 102, "counts": {"m": {"calls": 100}}}, 3: NotAnswered("not now")}
    asking = asyncio.create_task(others.ask(1, asked))
    await crew.was_asked(1)
    await settle()
    counts.seen(102, {"m": {"calls": 105}})
    crew.may_answer.set()
    assert await asking == {"answers": [crew.answers[2]], "missing": {}}
    counts.gone(102)
    crew.answers[2] = ChannelLost("gone")
    assert await others.ask(1, asked) == {"answers": [], "missing": {"m": {"calls": 105}}}
