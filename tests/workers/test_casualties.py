"""How deaths become a list of what is kept out, and who hears of it."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from serinus.core.version import ModelVersion, Version
from serinus.workers.casualties import Casualties
from serinus.workers.crash_record import CrashRecord, new_record
from serinus.workers.facts import WorkerEnd
from serinus.workers.quarantine import Quarantine, Quarantined
from tests.workers.fake_crew import FakeCrew

KILLER = ModelVersion("ocr", Version(2), 5)
KEPT_OUT = Quarantined(KILLER, 2, 60.0, "signal 11")


class Fixture:
    """Two workers, and a quarantine that puts up with one death."""

    def __init__(self) -> None:
        self.crew = FakeCrew(1, 2)
        self.casualties = Casualties(Quarantine(most_deaths=1, window_s=60.0), lambda: self.crew, clock=lambda: 7.0)

    def end(
        self, how: str = "signal 11", *, was_told: bool = False, was_stuck: bool = False, at_work: bool = True
    ) -> None:
        record = new_record()
        with CrashRecord(record) as written:
            if at_work:
                written.on_begin(0, KILLER)
        self.casualties.ended(WorkerEnd(1, 101, how, was_told, was_stuck, record))
        os.close(record)


@pytest.fixture
async def fixture() -> AsyncIterator[Fixture]:
    made = Fixture()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.casualties.run())
        yield made
        running.cancel()


async def until_told(fixture: Fixture) -> None:
    await fixture.crew.was_asked(2)


async def test_what_workers_keep_dying_of_is_kept_out_of_all(fixture: Fixture):
    """All get the whole list at once; those to come ask for it."""
    fixture.end()
    assert fixture.casualties.standing() == {"kept_out": []}
    fixture.end()
    await until_told(fixture)
    assert fixture.casualties.entries() == (KEPT_OUT,)
    assert fixture.crew.asked == [(index, "kept_out", {"kept_out": [KEPT_OUT.body()]}) for index in (1, 2)]
    assert fixture.casualties.standing() == {"kept_out": [KEPT_OUT.body()]}


@pytest.mark.parametrize(
    "ends",
    [
        [("exit 0", {"was_told": True}), ("exit 0", {})],
        [("signal 9", {"was_told": True}), ("signal 9", {"was_told": True})],
        [("signal 9", {"at_work": False}), ("signal 9", {"at_work": False})],
    ],
    ids=["those that left", "those that had to leave before their calls were over", "those that did nothing"],
)
async def test_nobody_is_blamed_for(fixture: Fixture, ends: list[tuple[str, dict[str, bool]]]):
    """Ends that no version had a part in."""
    for how, fields in ends * 3:
        fixture.end(how, **fields)
    assert fixture.casualties.entries() == ()


async def test_a_run_that_never_ends_counts(fixture: Fixture):
    """However the worker went that said so."""
    fixture.end("signal 9", was_told=True, was_stuck=True)
    fixture.end("exit 0", was_told=True, was_stuck=True)
    assert [each.version for each in fixture.casualties.entries()] == [KILLER]


async def test_when_somebody_lifts_it_all_know_before_it_is_tried(fixture: Fixture):
    """What was not kept out needs no telling."""
    assert await fixture.casualties.lift(1, {"model": "ocr", "version": ""}) == {}
    assert fixture.crew.asked == []
    fixture.end()
    fixture.end()
    await until_told(fixture)
    fixture.crew.asked.clear()
    await fixture.casualties.lift(1, {"model": "ocr", "version": "2.0.0"})
    assert fixture.crew.asked == [(1, "kept_out", {"kept_out": []}), (2, "kept_out", {"kept_out": []})]
    assert fixture.casualties.entries() == ()


async def test_a_worker_that_cannot_be_told_keeps_nobody_from_hearing_it(fixture: Fixture):
    """It asks for the list when it starts."""
    fixture.crew.answers[1] = TimeoutError()
    fixture.end()
    fixture.end()
    await until_told(fixture)
    assert [index for index, _, _ in fixture.crew.asked] == [1, 2]
