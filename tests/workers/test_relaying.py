"""One worker's orders, done by all."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from serinus.workers.control import Body, ChannelLost, NotAnswered
from serinus.workers.facts import WorkerState
from serinus.workers.relaying import Relays
from tests.workers.fake_crew import FakeCrew, facts


class Fixture:
    """Three workers, and what was removed."""

    def __init__(self) -> None:
        self.crew = FakeCrew(1, 2, 3)
        self.removed: list[Path] = []
        self.relays = Relays(lambda: self.crew, timeout_s=60.0, most_standing=2, remove=self.removed.append)

    async def tell(self, index: int, model: str = "m", action: str = "load", folder: str = "") -> Body:
        return await self.relays.relay(index, told(model, action, folder))

    @property
    def asked(self) -> list[tuple[int, str, int]]:
        """Who was asked to do what, and as the how manyth order."""
        return [(index, f"{body['action']} {body['model']}", body["number"]) for index, _, body in self.crew.asked]

    @property
    def standing(self) -> list[str]:
        return [f"{order['action']} {order['model']}" for order in self.relays.standing()["orders"]]


def told(model: str, action: str = "load", folder: str = "") -> Body:
    return {"action": action, "model": model, "config": None, "folder": folder, "token": "t"}


@pytest.fixture
async def fixture() -> AsyncIterator[Fixture]:
    made = Fixture()
    async with made.relays:
        yield made


async def test_who_was_told_is_first_and_the_others_follow(fixture: Fixture):
    """Only the first gets its token back; what was done stands for those to come."""
    assert await fixture.tell(2, folder="/f/1") == {"missing": {}}
    order = {"number": 1, "action": "load", "model": "m", "config": None, "folder": "/f/1"}
    assert fixture.crew.asked == [
        (2, "apply", {**order, "token": "t"}),
        (1, "apply", order),
        (3, "apply", order),
    ]
    assert fixture.relays.standing() == {"orders": [order]}


async def test_what_the_first_cannot_do_nobody_does(fixture: Fixture):
    """Its sentence is the answer, the files go, and what stood before stands."""
    await fixture.tell(1, folder="/f/1")
    fixture.crew.answers[2] = NotAnswered("no such file")
    assert await fixture.tell(2, folder="/f/2") == {"failed": "no such file"}
    assert fixture.asked[3:] == [(2, "load m", 2)]
    assert (fixture.removed, fixture.standing) == ([Path("/f/2")], ["load m"])


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [(ChannelLost("lost"), "worker 2 is going away"), (TimeoutError(), "worker 2 has taken longer than 60 s")],
)
async def test_a_first_that_does_not_answer_fails_the_order(fixture: Fixture, trouble: Exception, sentence: str):
    """It dies with its call; nobody else is asked."""
    fixture.crew.answers[2] = trouble
    assert await fixture.tell(2) == {"failed": sentence}
    assert fixture.standing == []


async def test_others_that_cannot_are_named(fixture: Fixture):
    """What they cannot do stands all the same, for when they start again."""
    fixture.crew.answers[3] = NotAnswered("no room")
    assert await fixture.tell(1) == {"missing": {"3": "no room"}}
    assert fixture.standing == ["load m"]


async def test_who_is_not_there_yet_is_not_missing(fixture: Fixture):
    """A worker that starts asks for what stands by itself."""
    fixture.crew.present[1] = facts(2, WorkerState.STARTING)
    assert await fixture.tell(1) == {"missing": {}}
    assert [index for index, _, _ in fixture.crew.asked] == [1, 3]


async def test_who_dies_meanwhile_is_not_missing(fixture: Fixture):
    """It is started again, and asks then."""
    fixture.crew.answers[3] = ChannelLost("lost")
    fixture.crew.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(fixture.tell(1))
        await asyncio.sleep(0)
        fixture.crew.gate.set()
        await fixture.crew.was_asked(3)
        fixture.crew.present[2] = facts(3, WorkerState.WAITING)
    assert answer.result() == {"missing": {}}


async def test_only_the_last_order_of_a_model_stands(fixture: Fixture):
    """In the order in which they came; files of the one before are removed when all have done the new one."""
    await fixture.tell(1, "a", folder="/f/1")
    await fixture.tell(1, "b")
    await fixture.tell(2, "a", "unload")
    assert (fixture.standing, fixture.removed) == (["load b", "unload a"], [Path("/f/1")])


async def test_no_more_models_than_can_be_remembered(fixture: Fixture):
    """One more is refused before anything is done; another order about a known one is not."""
    await fixture.tell(1, "a")
    await fixture.tell(1, "b")
    answer = await fixture.tell(1, "c", folder="/f/3")
    assert answer["failed"] == (
        "2 models that are not registered were loaded or unloaded by hand, and are remembered for workers to come: "
        "expected fewer than 2; register them instead"
    )
    assert (fixture.removed, len(fixture.crew.asked)) == ([Path("/f/3")], 6)
    assert await fixture.tell(1, "a", "unload") == {"missing": {}}


async def test_orders_about_one_model_wait_for_each_other(fixture: Fixture):
    """So that all workers do them in the same order; another model does not wait."""
    fixture.crew.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        for index, model in ((1, "a"), (2, "a"), (3, "b")):
            tasks.create_task(fixture.tell(index, model))
        await fixture.crew.was_asked(2)
        assert fixture.asked == [(1, "load a", 1), (3, "load b", 2)]
        fixture.crew.gate.set()
    assert fixture.asked[-3:] == [(2, "load a", 3), (1, "load a", 3), (3, "load a", 3)]


async def test_an_order_goes_on_when_nobody_waits_for_it(fixture: Fixture):
    """The worker that was told may die meanwhile: what has begun becomes the same everywhere."""
    fixture.crew.gate.clear()
    asking = asyncio.create_task(fixture.tell(1))
    await fixture.crew.was_asked(1)
    asking.cancel()
    await asyncio.wait({asking})
    fixture.crew.gate.set()
    await fixture.crew.was_asked(3)
    assert fixture.standing == ["load m"]


async def test_leaving_ends_what_is_under_way():
    """No order outlives the supervisor."""
    made = Fixture()
    made.crew.gate.clear()
    async with made.relays:
        asking = asyncio.create_task(made.tell(1))
        await made.crew.was_asked(1)
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert repr(made.relays) == "<Relays [0 standing, 0 under way]>"
