"""Models over versions made by hand."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from serinus.core.predictor import Request, Response
from serinus.core.version import ModelVersion
from serinus.lifecycle.models import Models
from serinus.telemetry.load_metrics import LoadMetrics
from tests.lifecycle.fake_servables import FakeLoader
from tests.support.fakes import settle


@dataclasses.dataclass
class World:
    """Models, and what surrounds them.

    Attributes:
        models: What is tested.
        loader: Makes its versions.
        refused: Reasons of calls that meant no version that serves.
        gone: Versions that were forgotten, in order.
        metrics: Counts loads.
    """

    models: Models
    loader: FakeLoader
    refused: list[str]
    gone: list[ModelVersion]
    metrics: LoadMetrics

    @property
    def states(self) -> list[tuple[str, str, str]]:
        """The index in short: version, state, reason."""
        return [(str(status.identity), str(status.state), status.reason) for status in self.models.index()]

    async def call(self, model: str = "m", version: str = "") -> Response:
        """A call that means a version."""
        return await self.models.predict(Request({}, 1e9, model=model, version=version))

    async def answered_by(self, version: str = "") -> str:
        """Which version of m answers."""
        return str((await self.call(version=version)).answered_by.version)


async def begun(job: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """A task that has done all that it can do now."""
    task = asyncio.create_task(job)
    await settle()
    return task


def world(*, max_bytes: int | None = None, clock: Callable[[], float] = time.monotonic) -> World:
    """Models that nobody entered yet."""
    loader = FakeLoader()
    refused: list[str] = []
    gone: list[ModelVersion] = []
    metrics = LoadMetrics()
    models = Models(
        loader, refused=refused.append, forget=gone.append, metrics=metrics, max_bytes=max_bytes, clock=clock
    )
    return World(models, loader, refused, gone, metrics)


@pytest.fixture(name="world")
async def _world() -> AsyncIterator[World]:
    made = world()
    async with made.models:
        yield made
        for servable in made.loader.made:
            servable.gate.set()
    assert [servable for servable in made.loader.made if servable.closes != 1] == []
    assert made.models.serving() == []
