"""What a restart still knows of runs, and what becomes of it when the database is away."""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from serinus.app.cost_keeping import EVERY_S, PATIENCE_S, CostKeeper, subject_of
from serinus.config.models import BatchingSpec, ModelOptions, VersionSpec
from serinus.core.errors import StoreUnavailable
from serinus.core.version import ModelVersion, Version
from serinus.registry.learned_costs import LearnedCostStore
from serinus.registry.sql.database import open_database
from tests.support.virtual_loop import virtual

SUBJECT = "1" * 64


class Store:
    """Costs in memory; `trouble` is raised instead, and `never` waits for ever."""

    def __init__(self) -> None:
        self.kept: dict[str, Mapping[str, Any]] = {}
        self.writes = 0
        self.trouble: Exception | None = None
        self.never = False

    async def _be_troubled(self) -> None:
        if self.never:
            await asyncio.Event().wait()
        if self.trouble is not None:
            raise self.trouble

    async def read(self, subject: str) -> Mapping[str, Any] | None:
        await self._be_troubled()
        return self.kept.get(subject)

    async def write(
        self,
        documents: Mapping[str, Mapping[str, Any]],
        *,
        gives_way: Callable[[str, Mapping[str, Any]], bool],
    ) -> None:
        await self._be_troubled()
        self.writes += 1
        for subject, document in documents.items():
            if subject not in self.kept or gives_way(subject, self.kept[subject]):
                self.kept[subject] = document


class Model:
    """A loaded model that has learned what it is told."""

    def __init__(self, learned: Mapping[str, Any]) -> None:
        self.document = learned

    def learned(self) -> Mapping[str, Any]:
        return self.document


@pytest.fixture
def spec(tmp_path: Path) -> VersionSpec:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"model")
    return VersionSpec(ModelVersion("m", Version(1), 1), path, ModelOptions())


@virtual
async def test_what_a_model_learned_is_there_after_a_restart():
    """Written now and then while it is loaded, and once more at the end."""
    store = Store()
    keeper, model = CostKeeper(store), Model({"points": [1]})
    keeper.keep(SUBJECT, model)
    job = asyncio.create_task(keeper.run())
    await asyncio.sleep(EVERY_S + 1)
    assert list(store.kept.values()) == [{"points": [1]}]
    await asyncio.sleep(EVERY_S)
    assert store.writes == 1  # nothing new, nothing written
    model.document = {"points": [2]}
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    await keeper.save()
    assert await CostKeeper(store).recall(SUBJECT) == {"points": [2]}


def learned(*runs: int) -> Mapping[str, Any]:
    """What a model says that has seen so many runs of one row, two rows and so on."""
    points = [[rows, 1, 0.001, seen] for rows, seen in enumerate(runs, 1)]
    return {"version": 1, "narrow": {"version": 1, "points": points}}


@pytest.mark.parametrize("busy_is_last", [False, True])
async def test_a_worker_that_was_idle_has_not_the_last_word(*, busy_is_last: bool):
    """Both began with the same, and one has seen more since; whoever goes last."""
    store = Store()
    store.kept[SUBJECT] = learned(800, 200)
    workers = [(CostKeeper(store), Model(learned(*runs))) for runs in ((402, 100), (402, 5000))]
    for keeper, model in workers:
        assert await keeper.recall(SUBJECT) == learned(800, 200)
        keeper.keep(SUBJECT, model)
    for keeper, _ in workers if busy_is_last else workers[::-1]:
        await keeper.save()
    assert store.kept == {SUBJECT: learned(402, 5000)}


async def test_what_a_restarted_worker_learns_replaces_what_it_began_with():
    """Though half of the runs that it recalled do not count any more, so that fewer are behind it."""
    store = Store()
    store.kept[SUBJECT] = learned(800)
    keeper, model = CostKeeper(store), Model(learned(410))
    await keeper.recall(SUBJECT)
    keeper.keep(SUBJECT, model)
    await keeper.save()
    model.document = learned(405, 1)
    await keeper.save()
    assert store.kept == {SUBJECT: learned(405, 1)}


async def test_a_process_that_is_killed_has_written_what_it_knew(tmp_path: Path):
    """Into a real file, which another one reads while the first still has it open; nothing was saved at the end."""
    async with (
        open_database(f"sqlite:///{tmp_path}/registry.db") as one,
        open_database(f"sqlite:///{tmp_path}/registry.db") as other,
    ):
        stores = [
            LearnedCostStore(each, machine="a" * 64, now=lambda: dt.datetime.now(dt.UTC)) for each in (one, other)
        ]
        keeper, model, after = CostKeeper(stores[0], every_s=0.001), Model(learned(7)), CostKeeper(stores[1])
        keeper.keep(SUBJECT, model)
        job = asyncio.create_task(keeper.run())
        async with asyncio.timeout(30):
            while await after.recall(SUBJECT) is None:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.001)
        assert await after.recall(SUBJECT) == learned(7)
        job.cancel()
        await asyncio.wait({job})


@virtual
async def test_an_unloaded_model_is_forgotten():
    """Nobody has to say so."""
    store = Store()
    keeper, model = CostKeeper(store), Model({"points": [1]})
    keeper.keep(SUBJECT, model)
    del model
    job = asyncio.create_task(keeper.run())
    await asyncio.sleep(EVERY_S + 1)
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    assert store.kept == {}


@virtual
async def test_a_database_that_is_away_holds_nothing_up():
    """A load goes on without costs, and the next write tries again."""
    store = Store()
    keeper, model = CostKeeper(store), Model({"points": [1]})
    keeper.keep(SUBJECT, model)
    store.trouble = StoreUnavailable("the database is away")
    assert await keeper.recall(SUBJECT) is None
    job = asyncio.create_task(keeper.run())
    await asyncio.sleep(EVERY_S + 1)
    store.trouble = None
    await asyncio.sleep(EVERY_S)
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    assert list(store.kept.values()) == [{"points": [1]}]


@virtual
async def test_a_database_that_never_answers_is_not_waited_for():
    """Longer than a moment."""
    store = Store()
    store.never = True
    began = asyncio.get_running_loop().time()
    assert await CostKeeper(store).recall(SUBJECT) is None
    assert asyncio.get_running_loop().time() - began == pytest.approx(PATIENCE_S, abs=0.1)


def test_other_bytes_and_other_options_are_other_subjects(spec: VersionSpec, tmp_path: Path):
    """What is labelled differently costs the same."""
    assert isinstance(spec.source, Path)
    before = subject_of(spec)
    assert subject_of(VersionSpec(spec.identity, spec.source, ModelOptions(labels={"y": ("a", "b")}))) == before
    other_options = ModelOptions(batching=BatchingSpec(max_rows=8))
    assert subject_of(VersionSpec(spec.identity, spec.source, other_options)) != before
    spec.source.write_bytes(b"another model")
    assert subject_of(spec) != before
    assert len(subject_of(VersionSpec(spec.identity, tmp_path / "none.onnx", ModelOptions()))) == 64
