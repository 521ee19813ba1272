"""What the supervisor says for all workers."""

import pytest

from serinus.app.workers.reports import WorkerReports
from serinus.core.version import ModelVersion, Version
from serinus.workers.control import Body, ChannelLost
from serinus.workers.facts import WorkerEnd, WorkerState
from tests.workers.fake_crew import FakeCrew, facts

KEPT_OUT = ModelVersion("ocr", Version(2), 5)


def text(rows: int, queued: int = 0, model: str = "ocr") -> str:
    labels = f'{{model="{model}",version="1.0.0"}}'
    return (
        f"# HELP serinus_rows_total Rows.\n# TYPE serinus_rows_total counter\nserinus_rows_total{labels} {rows}.0\n"
        f"# HELP serinus_queue_calls Calls.\n# TYPE serinus_queue_calls gauge\nserinus_queue_calls{labels} {queued}.0\n"
    )


def said(index: int, rows: int, queued: int = 0, model: str = "ocr") -> Body:
    return {"pid": 100 + index, "text": text(rows, queued, model), "status": f"status {index}"}


def end(index: int) -> WorkerEnd:
    return WorkerEnd(index, 100 + index, "signal 11", was_told=False, was_stuck=False, record=-1)


class Fixture:
    """Two workers, and what is said of them."""

    def __init__(self) -> None:
        self.crew = FakeCrew(1, 2)
        self.crew.answers = {1: said(1, 5, 1), 2: said(2, 7, 2)}
        self.kept_out: list[ModelVersion] = []
        self.reports = WorkerReports(lambda: self.crew, quarantined=lambda: self.kept_out)

    async def shown(self) -> dict[str, float]:
        body, content_type = await self.reports.exposition()
        assert content_type == "text/plain; version=0.0.4; charset=utf-8"
        lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
        return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines)}


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


ROWS = 'serinus_rows_total{model="ocr",version="1.0.0"}'
QUEUE = 'serinus_queue_calls{model="ocr",version="1.0.0"}'


async def test_all_workers_have_one_exposition(fixture: Fixture):
    """Theirs added up, and the supervisor's own beside it."""
    fixture.kept_out = [KEPT_OUT]
    assert await fixture.shown() == {
        ROWS: 12,
        QUEUE: 3,
        'serinus_workers{state="waiting"}': 0,
        'serinus_workers{state="starting"}': 0,
        'serinus_workers{state="ready"}': 2,
        'serinus_workers{state="leaving"}': 0,
        'serinus_workers{state="silent"}': 0,
        'serinus_worker_up{worker="1"}': 1,
        'serinus_worker_up{worker="2"}': 1,
        'serinus_worker_restarts_total{worker="1"}': 0,
        'serinus_worker_restarts_total{worker="2"}': 0,
        'serinus_quarantined{model="ocr",version="2.0.0"}': 1,
    }


@pytest.mark.parametrize("trouble", [TimeoutError(), {"pid": 102, "text": "nonsense", "status": ""}])
async def test_a_worker_that_says_nothing_sensible_is_left_out(fixture: Fixture, trouble: Body | Exception):
    """But for what it has counted; it is shown as silent."""
    await fixture.shown()
    fixture.crew.answers[2] = trouble
    shown = await fixture.shown()
    assert (shown[ROWS], shown[QUEUE]) == (12, 1)
    assert (shown['serinus_workers{state="ready"}'], shown['serinus_workers{state="silent"}']) == (1, 1)
    assert shown['serinus_worker_up{worker="2"}'] == 0


async def test_counters_survive_a_worker_that_left_and_one_that_died(fixture: Fixture):
    """One says last what it has counted, of the other what it said last counts."""
    await fixture.shown()
    await fixture.reports.heard_last(1, said(1, 6))
    for index in (1, 2):
        fixture.reports.ended(end(index))
    fixture.crew.present = [facts(1, WorkerState.WAITING), facts(2, WorkerState.STARTING, restarts=1)]
    fixture.crew.answers = {1: ChannelLost("nobody"), 2: ChannelLost("nobody")}
    shown = await fixture.shown()
    assert (shown[ROWS], shown.get(QUEUE), shown['serinus_worker_restarts_total{worker="2"}']) == (13, None, 1)


async def test_an_answer_that_outlives_its_worker_brings_nothing_back(fixture: Fixture):
    """It would count as living for ever."""
    await fixture.shown()
    fixture.reports.ended(end(2))
    assert (await fixture.shown())[ROWS] == 12
    fixture.crew.answers[2] = TimeoutError()
    assert (await fixture.shown())[ROWS] == 12


async def test_series_of_the_dead_go_with_what_they_counted(fixture: Fixture):
    """Once every worker is there and none of them has the version."""
    fixture.crew.answers[2] = said(2, 7, model="old")
    await fixture.shown()
    fixture.reports.ended(end(2))
    fixture.crew.present[1] = facts(3)
    fixture.crew.answers[3] = ChannelLost("starting")
    old = 'serinus_rows_total{model="old",version="1.0.0"}'
    assert (await fixture.shown())[old] == 7
    fixture.crew.answers[3] = said(3, 1)
    shown = await fixture.shown()
    assert (old in shown, shown[ROWS]) == (False, 6)


async def test_statuses_are_those_of_the_processes_that_are_there(fixture: Fixture):
    """With what the supervisor knows of each; None for one that does not answer."""
    fixture.crew.present[1] = facts(2, restarts=3, last_end="signal 11")
    fixture.crew.answers[2] = TimeoutError()
    assert await fixture.reports.statuses(1, {}) == {
        "places": [
            {
                "index": 1,
                "pid": 101,
                "started_unix_s": 1.0,
                "restarts": 0,
                "last_end": "",
                "status": "status 1",
            },
            {
                "index": 2,
                "pid": 102,
                "started_unix_s": 2.0,
                "restarts": 3,
                "last_end": "signal 11",
                "status": None,
            },
        ]
    }
