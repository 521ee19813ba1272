"""What a restart still knows of runs, and what becomes of it when the database is away."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from serinus.app.cost_keeping import EVERY_S, PATIENCE_S, CostKeeper, subject_of
from serinus.config.models import BatchingSpec, ModelOptions, VersionSpec
from serinus.core.errors import StoreUnavailable
from serinus.core.version import ModelVersion, Version
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

    async def write(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        await self._be_troubled()
        self.writes += 1
        self.kept.update(documents)


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
