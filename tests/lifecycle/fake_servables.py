"""Versions that a test loads, calls and closes by hand."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from serinus.config.models import ModelSpec, VersionSpec
from serinus.core.predictor import Request, Response
from serinus.core.signature import Signature
from serinus.lifecycle.plan import ModelPlan
from serinus.lifecycle.servable import MakeRoom
from serinus.telemetry.model_metrics import ModelMetrics
from tests.support.fakes import TAGGED


def model_spec(name: str = "m", *numbers: int, **options: Any) -> ModelSpec:
    """A model with some versions; version 1 if none is named."""
    return ModelSpec(name=name, versions={number: Path(f"{number}.onnx") for number in numbers or (1,)}, **options)


def model_plan(name: str = "m", *numbers: int, **options: Any) -> ModelPlan:
    """A plan that wants those versions."""
    return ModelPlan.of(model_spec(name, *numbers, **options))


def version_spec(number: int = 1, **options: Any) -> VersionSpec:
    """One version of m."""
    (spec,) = model_spec("m", number, **options).version_specs()
    return spec


def open_gate() -> asyncio.Event:
    """Lets everything through."""
    gate = asyncio.Event()
    gate.set()
    return gate


class FakeServable:
    """A version that answers with itself.

    Attributes:
        gate: While it is not set, calls stay inside; set from the start.
        calls: Calls inside.
        last_used_s: What a test says.
        closes: How often `close` was called.
        is_closed: Whether it is over: closed, and no call was inside.
        broken: Raised by `close`.
    """

    def __init__(
        self,
        spec: VersionSpec,
        *,
        signature: Signature = TAGGED,
        labels: Mapping[str, tuple[str, ...]] | None = None,
        metrics: ModelMetrics | None = None,
        max_rows: int = 8,
        size_bytes: int = 0,
    ) -> None:
        self.identity = spec.identity
        self.signature = signature
        self.spec = spec
        self.options = spec.options
        self.metrics = metrics or ModelMetrics(self.identity, clock=lambda: 0.0)
        self.max_rows = max_rows
        self.labels = labels or {}
        self.size_bytes = size_bytes
        self.gate = open_gate()
        self.calls = 0
        self.last_used_s = 0.0
        self.closes = 0
        self.is_closed = False
        self.broken: Exception | None = None
        self._left = asyncio.Event()
        self._left.set()

    async def predict(self, request: Request, /) -> Response:
        assert not self.closes, "a call reached a version that is being closed"
        self.calls += 1
        self._left.clear()
        try:
            await self.gate.wait()
        finally:
            self.calls -= 1
            if not self.calls:
                self._left.set()
        return Response(request.inputs, self.identity)

    async def close(self) -> None:
        self.closes += 1
        await self._left.wait()
        if self.broken is not None:
            raise self.broken
        self.is_closed = True

    def __repr__(self) -> str:
        return f"<FakeServable {self.identity} [{self.calls} inside, {self.closes} closes]>"


class FakeLoader:
    """Makes `FakeServable`s.

    Attributes:
        made: All of them, in order.
        failing: What the load of a version raises, by number.
        gates: Loads of a version wait for its event, by number.
        sizes: Bytes of a version, by number; 0 for the others.
        started: What was asked for, in order.
        given_up: Numbers of loads that were cancelled, in order.
        gate: Makes the gate of each version, open or not.
    """

    def __init__(self) -> None:
        self.made: list[FakeServable] = []
        self.failing: dict[int, BaseException] = {}
        self.gates: dict[int, asyncio.Event] = {}
        self.sizes: dict[int, int] = {}
        self.started: list[tuple[str, int]] = []
        self.given_up: list[int] = []
        self.gate: Callable[[], asyncio.Event] = open_gate

    async def __call__(self, spec: VersionSpec, make_room: MakeRoom) -> FakeServable:
        number = spec.identity.number
        self.started.append((spec.identity.model, number))
        size_bytes = self.sizes.get(number, 0)
        try:
            await make_room(size_bytes)
            if (gate := self.gates.get(number)) is not None:
                await gate.wait()
        except asyncio.CancelledError:
            self.given_up.append(number)
            raise
        if (error := self.failing.get(number)) is not None:
            raise error
        servable = FakeServable(spec, size_bytes=size_bytes)
        servable.gate = self.gate()
        self.made.append(servable)
        return servable
