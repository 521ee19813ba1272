"""What a server says of its rollouts, again and again, and when it goes."""

import asyncio
import dataclasses
from collections.abc import Mapping

import pytest

from serinus.core.errors import InvalidInput, ModelRejected, NotFound, ServerError, StoreUnavailable
from serinus.core.traffic import NO_TRAFFIC, Traffic
from serinus.core.version import ModelVersion
from serinus.core.windows import ArmWindow, MetricWindow, PairWindow, ServerWindow
from serinus.rollout.machine.effects import effects
from serinus.rollout.reporting.metric_reports import MetricReports
from serinus.rollout.reporting.publishing import Reporting
from serinus.rollout.reporting.windows import Reports
from serinus.rollout.rollout import Status
from tests.support.fake_journal import FakeJournal
from tests.support.rollouts import BASELINE, CANDIDATE, begun, prepared_at
from tests.support.virtual_loop import virtual

FIVE = {"canary": {"weight": 5}}
WHOLE = {"canary": {"weight": 100}}
CLICKS = {"name": "clicks", "higher_is": "better", "lowest": 0, "highest": 10}
NO_PAIRS = PairWindow()
WITH_CLICKS = {"guardrails": {"metrics": [CLICKS]}}


@dataclasses.dataclass(frozen=True)
class Model:
    """A model as the server acts by it."""

    traffic: Traffic
    name: str = "m"
    revision: int = 7


@dataclasses.dataclass
class Counted:
    """What routing has counted."""

    segment: int
    arms: Mapping[int, ArmWindow]
    rollout: str = "r"
    tripped: frozenset[int] = frozenset()


@dataclasses.dataclass
class FakeParts:
    """Routing, mirror and models in one, as far as reports ask them."""

    counted: Counted | None = None
    error: Exception | None = None
    copies: PairWindow = NO_PAIRS
    failed: ServerError | None = None

    def window(self, _: str) -> Counted | None:
        if self.error is not None:
            raise self.error
        return self.counted

    def pairs(self, _: str, __: int) -> PairWindow:
        return self.copies

    def serves(self, version: ModelVersion) -> bool:
        return version == BASELINE or self.failed is None

    def failure(self, identity: ModelVersion) -> ServerError | None:
        return None if self.serves(identity) else self.failed


@dataclasses.dataclass
class FakeStore:
    """Where windows are published and reports are told apart."""

    published: list[ServerWindow] = dataclasses.field(default_factory=list)
    error: Exception | None = None
    hangs: bool = False
    seen: set[str] = dataclasses.field(default_factory=set)

    async def publish(self, window: ServerWindow) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        self.published.append(window)

    async def count_report(self, _: str, report_id: str) -> bool:
        is_new = report_id not in self.seen
        self.seen.add(report_id)
        return is_new


ROLLING = Model(Traffic(split=effects(prepared_at(10, FIVE, WHOLE)).split, rollout="r"))
STILL = Model(NO_TRAFFIC, name="q")


def reports_of(parts: FakeParts, journal: FakeJournal | None = None) -> Reports:
    metrics = MetricReports(journal or FakeJournal(), FakeStore())
    return Reports("s1", routes=parts, mirrors=parts, models=parts, metrics=metrics)


def test_a_window_says_all_that_is_known():
    """What was counted, what is loaded, what the server acts by; nothing of models without a rollout."""
    arms = {1: ArmWindow(exposures=9), 2: ArmWindow(exposures=1, errors=1)}
    parts = FakeParts(Counted(3, arms, tripped=frozenset({2})), copies=PairWindow(pairs=4))
    assert reports_of(parts).windows([ROLLING, STILL]) == [
        ServerWindow(
            "r",
            "s1",
            beat=1,
            segment=3,
            revision=7,
            ready=frozenset({1, 2}),
            arms=arms,
            pairs=PairWindow(pairs=4),
            tripped=frozenset({2}),
        )
    ]


def test_a_version_that_cannot_be_loaded_is_named():
    """With the sentence that callers would read."""
    (window,) = reports_of(FakeParts(failed=ModelRejected("the file is cut off"))).windows([ROLLING])
    assert (window.ready, window.failures) == (frozenset({1}), {CANDIDATE.number: "the file is cut off"})


@pytest.mark.parametrize("broken", [ValueError("a bug"), None])
def test_a_server_that_cannot_count_still_lives(broken):
    """It goes on to beat, with the counts that it had."""
    parts = FakeParts(Counted(3, {1: ArmWindow(exposures=9)}))
    reports = reports_of(parts)
    (before,) = reports.windows([ROLLING])
    parts.counted, parts.error = None, broken
    (after,) = reports.windows([ROLLING])
    assert after == dataclasses.replace(before, beat=2)


def test_counts_of_another_rollout_are_not_this_ones():
    """Routing is a step behind: its counts are of a rollout that has ended."""
    (window,) = reports_of(FakeParts(Counted(3, {1: ArmWindow(exposures=9)}, rollout="q"))).windows([ROLLING])
    assert (window.segment, window.arms) == (0, {})


@virtual
async def test_a_server_publishes_once_in_an_interval_and_says_goodbye():
    """Each window beats; the last one says that it has left."""
    store = FakeStore()
    reporting = Reporting(reports_of(FakeParts()), store, models=lambda: [ROLLING], interval_s=1.0)
    task = asyncio.create_task(reporting.run())
    await asyncio.sleep(2.5)
    task.cancel()
    await asyncio.wait([task])
    assert [(window.beat, window.has_left) for window in store.published] == [
        (1, False), (2, False), (3, False), (4, True),
    ]  # fmt: skip


@virtual
async def test_without_rollouts_the_database_is_left_alone():
    """Nothing is published, not even at the end."""
    store = FakeStore(error=StoreUnavailable("the database is away"))
    reporting = Reporting(reports_of(FakeParts()), store, models=lambda: [STILL], interval_s=1.0)
    task = asyncio.create_task(reporting.run())
    await asyncio.sleep(5)
    task.cancel()
    await asyncio.wait([task])
    assert store.published == []


@pytest.mark.parametrize("trouble", [StoreUnavailable("the database is away"), ValueError("a bug")])
@virtual
async def test_trouble_ends_no_reporting(trouble):
    """It tries again each interval, and says once that it cannot."""
    store = FakeStore(error=trouble)
    reporting = Reporting(reports_of(FakeParts()), store, models=lambda: [ROLLING], interval_s=1.0)
    task = asyncio.create_task(reporting.run())
    await asyncio.sleep(3.5)
    store.error = None
    await asyncio.sleep(1)
    assert [window.beat for window in store.published] == [5]
    task.cancel()
    await asyncio.wait([task])


@virtual
async def test_a_database_that_hangs_holds_no_shutdown_up():
    """Publishing is given up, and so is the goodbye."""
    store = FakeStore(hangs=True)
    reporting = Reporting(reports_of(FakeParts()), store, models=lambda: [ROLLING], interval_s=1.0)
    task = asyncio.create_task(reporting.run())
    await asyncio.sleep(20)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert asyncio.get_running_loop().time() <= 21


def metrics_of(*, status: Status = Status.RUNNING) -> tuple[MetricReports, FakeStore]:
    journal, store = FakeJournal(), FakeStore()
    journal.add(dataclasses.replace(begun(FIVE, WHOLE, **WITH_CLICKS), status=status))
    return MetricReports(journal, store), store


@virtual
async def test_reported_values_are_summed_by_metric_and_version():
    """However the version is named; each report with an id counts once."""
    metrics, _ = metrics_of()
    assert await metrics.report("m", "1.1.0", "clicks", [1.0, 2.0], "a")
    assert not await metrics.report("m", "1.1.0", "clicks", [1.0, 2.0], "a")
    assert await metrics.report("m", "2", "clicks", [4.0])
    assert await metrics.report("m", "stable", "clicks", [4.0])
    assert metrics.sums("r") == {"clicks": {2: MetricWindow(3, 7.0), 1: MetricWindow(1, 4.0)}}
    metrics.forget("r")
    assert metrics.sums("r") == {}


@pytest.mark.parametrize("values", [[float("nan")], [1.0, 10.5], [-1.0], [float("inf")]])
@virtual
async def test_values_out_of_range_are_refused_all_together(values):
    """The range is named, nothing of the report counts, and its id may be used again."""
    metrics, store = metrics_of()
    with pytest.raises(InvalidInput, match="clicks: expected values from 0 to 10, got"):
        await metrics.report("m", "1.1.0", "clicks", values, "a")
    assert (metrics.sums("r"), store.seen) == ({}, set())


@pytest.mark.parametrize(
    ("model", "version", "metric", "error"),
    [
        ("m", "1.1.0", "sales", InvalidInput),
        ("m", "9.9.9", "clicks", NotFound),
        ("q", "1.1.0", "clicks", NotFound),
    ],
)
@virtual
async def test_reports_about_what_is_not_there_are_refused(model, version, metric, error):
    """An unknown metric, a version that takes no part, a model without a rollout."""
    metrics, _ = metrics_of()
    with pytest.raises(error):
        await metrics.report(model, version, metric, [1.0])


@virtual
async def test_a_rollout_that_has_ended_takes_no_reports():
    """Nobody would look at them."""
    metrics, _ = metrics_of(status=Status.SUCCEEDED)
    with pytest.raises(NotFound, match="model m has no rollout now"):
        await metrics.report("m", "1.1.0", "clicks", [1.0])
