"""Versions that a test loads, calls and closes by hand."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serinus.config.models import ModelSpec
from serinus.core.predictor import Request, Response
from serinus.core.signature import Signature
from serinus.telemetry.model_metrics import ModelMetrics
from tests.support.fakes import TAGGED


def model_spec(name: str = "m", *numbers: int, **options: Any) -> ModelSpec:
    """A model with some versions; version 1 if none is named."""
    return ModelSpec(name=name, versions={number: Path(f"{number}.onnx") for number in numbers or (1,)}, **options)


class FakeServable:
    """A version that answers with itself.

    Attributes:
        gate: While it is not set, calls stay inside; set from the start.
        inside: Calls inside.
        closes: How often `close` was called.
        is_closed: Whether it is over: closed, and no call was inside.
        broken: Raised by `close`.
    """

    def __init__(
        self,
        spec: ModelSpec,
        number: int,
        *,
        signature: Signature = TAGGED,
        labels: Mapping[str, tuple[str, ...]] | None = None,
        metrics: ModelMetrics | None = None,
        max_rows: int = 8,
    ) -> None:
        self.identity = spec.model_version(number)
        self.signature = signature
        self.spec = spec
        self.metrics = metrics or ModelMetrics(self.identity, clock=lambda: 0.0)
        self.max_rows = max_rows
        self.labels = labels or {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.inside = 0
        self.closes = 0
        self.is_closed = False
        self.broken: Exception | None = None
        self._left = asyncio.Event()
        self._left.set()

    async def predict(self, request: Request, /) -> Response:
        assert not self.closes, "a call reached a version that is being closed"
        self.inside += 1
        self._left.clear()
        try:
            await self.gate.wait()
        finally:
            self.inside -= 1
            if not self.inside:
                self._left.set()
        return Response(request.inputs, self.identity)

    async def close(self) -> None:
        self.closes += 1
        await self._left.wait()
        if self.broken is not None:
            raise self.broken
        self.is_closed = True

    def __repr__(self) -> str:
        return f"<FakeServable {self.identity} [{self.inside} inside, {self.closes} closes]>"


class FakeLoader:
    """Makes `FakeServable`s.

    Attributes:
        made: All of them, in order.
        failing: What the load of a version raises, by number.
        gates: Loads of a version wait for its event, by number.
        started: What was asked for, in order.
    """

    def __init__(self) -> None:
        self.made: list[FakeServable] = []
        self.failing: dict[int, BaseException] = {}
        self.gates: dict[int, asyncio.Event] = {}
        self.started: list[tuple[str, int]] = []

    async def __call__(self, spec: ModelSpec, number: int) -> FakeServable:
        self.started.append((spec.name, number))
        if (gate := self.gates.get(number)) is not None:
            await gate.wait()
        if (error := self.failing.get(number)) is not None:
            raise error
        servable = FakeServable(spec, number)
        self.made.append(servable)
        return servable
