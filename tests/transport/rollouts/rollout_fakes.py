"""Rollouts and splits in memory, as the RPCs need them: tests see what was asked, and say what is answered."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from serinus.config.rollout_spec import parse_rollout_spec
from serinus.core.errors import NotFound, ServerError
from serinus.core.traffic import NO_TRAFFIC, Traffic
from serinus.core.version import ModelVersion, Version
from serinus.core.windows import MetricWindow, PairWindow
from serinus.registry.records import ModelRecord, Page
from serinus.registry.rollout_records import JournalEntry
from serinus.rollout.ports import Stored
from serinus.rollout.rollout import Check, Outcome, Rollout, Status, Verdict
from serinus.rollout.simulation.values import Simulated
from serinus.rollout.view import ArmView, RolloutView
from serinus.serving.mirroring.disagreements import Disagreement
from serinus.serving.routing.gates import BreakerView
from serinus.transport.rollouts.ports import RolloutPorts
from serinus.transport.rollouts.values import MetricReport, SimulationOrder, Worker
from tests.support.records import model_record, version_record

STABLE = ModelVersion("m", Version(1), 1)
CANDIDATE = ModelVersion("m", Version(1, 1), 2)
SPEC_YAML = "model: m\ncandidate: 1.1.0\n"
AT = 1_700_000_000.25

ROLLOUT = Rollout(
    id="r1",
    spec=parse_rollout_spec(SPEC_YAML),
    baseline=STABLE,
    candidates=(CANDIDATE,),
    salt="s",
    started_at=AT,
    started_by="ann",
    slow_s=0.25,
    status=Status.RUNNING,
    stage=1,
    stage_at=AT + 60,
    reason="canary 5 % is judged",
)
VERDICT = Verdict(
    Outcome.INCONCLUSIVE,
    "too few calls",
    (
        Check("errors", 2, Outcome.PASS, 0.5, 250.0, 0.01, 0.02, 1.25, 1.5, 400, "errors: 4 of 400"),
        Check("ctr", 2, Outcome.INCONCLUSIVE, 1.0, 500.0, None, None, None, None, 0, "ctr: no reports"),
    ),
)
REPORTED = {"ctr": MetricWindow(4, 1.0), "nps": MetricWindow()}
VIEW = RolloutView(
    Stored(ROLLOUT, 7),
    (
        ArmView(STABLE, 9500, 7600, 8, 70, 0, 9000, 95.0, 0.01, 0.2),
        ArmView(CANDIDATE, 500, 400, 4, 3, 1, 410, 5.0, 0.02, 0.3, REPORTED),
    ),
    VERDICT,
    PairWindow(pairs=150, disagreements=3, errors=1, dropped=20),
    ("100 more calls of 1.1.0",),
)


def changed(view: RolloutView = VIEW, **fields: Any) -> RolloutView:
    """The view of a rollout of which something else is so."""
    rollout = dataclasses.replace(view.stored.rollout, **fields)
    return dataclasses.replace(view, stored=dataclasses.replace(view.stored, rollout=rollout))


class FakeRollouts:
    """Every method answers the same view, unless a test says otherwise.

    Attributes:
        asked: Every call: its name and arguments.
        failure: Raised by every call while it is set.
        pages: Of the list; the token of a page is its index.
        views: What a watch tells, one after the other; then it waits for ever, or ends where `ends` is set.
        watched: How many watch now.
        entries: The journal.
        examples: Disagreements.
        gate: While it is not set, simulations wait.
        simulating: Set by the first of them.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.failure: ServerError | None = None
        self.pages: list[tuple[Stored, ...]] = [()]
        self.views: list[RolloutView] = [VIEW]
        self.ends = True
        self.watched = 0
        self.entries: Sequence[JournalEntry] = ()
        self.examples: Sequence[Disagreement] = ()
        self.gate = asyncio.Event()
        self.gate.set()
        self.simulating = asyncio.Event()

    def _answer(self, name: str, *given: Any, **named: Any) -> RolloutView:
        self.asked.append((name, given, named))
        if self.failure is not None:
            raise self.failure
        return VIEW

    async def start(self, *given: Any, **named: Any) -> RolloutView:
        return self._answer("start", *given, **named)

    async def get(self, rollout: str) -> RolloutView:
        return self._answer("get", rollout)

    async def newest(self, model: str) -> RolloutView:
        return self._answer("newest", model)

    async def page(self, model: str, *, active: bool, page_token: str, limit: int) -> Page[Stored]:
        self._answer("page", model, active=active, page_token=page_token, limit=limit)
        index = int(page_token or 0)
        found = self.pages[index]
        rest = str(index + 1) if index + 1 < len(self.pages) else ""
        return Page(found[:limit], rest if len(found) <= limit else page_token)

    async def watch(self, rollout: str) -> AsyncIterator[RolloutView]:
        self._answer("watch", rollout)
        self.watched += 1
        try:
            for view in self.views:
                yield view
            if not self.ends:
                await asyncio.Event().wait()
        finally:
            self.watched -= 1

    async def journal(self, rollout: str) -> Sequence[JournalEntry]:
        self._answer("journal", rollout)
        return self.entries

    async def pause(self, *given: Any, **named: Any) -> RolloutView:
        return self._answer("pause", *given, **named)

    async def resume(self, *given: Any, **named: Any) -> RolloutView:
        return self._answer("resume", *given, **named)

    async def promote(self, *given: Any, **named: Any) -> RolloutView:
        return self._answer("promote", *given, **named)

    async def force_promote(self, *given: Any, **named: Any) -> RolloutView:
        return self._answer("force_promote", *given, **named)

    async def abort(self, *given: Any, **named: Any) -> RolloutView:
        return self._answer("abort", *given, **named)

    async def disagreements(self, rollout: str) -> Sequence[Disagreement]:
        self._answer("disagreements", rollout)
        return self.examples

    async def report_metric(self, report: MetricReport) -> bool:
        self._answer("report_metric", report)
        return True

    async def simulate(self, order: SimulationOrder) -> Simulated:
        self._answer("simulate", order)
        self.simulating.set()
        await self.gate.wait()
        return Simulated(order.runs, {"succeeded": (0.9, 0.85, 0.95)}, 900, 1200, 600.0, 720.0, {"errors": 1.0})


class FakeTraffic:
    """One model.

    Attributes:
        asked: Every write: its name and arguments.
        failure: Raised by every call while it is set.
        traffic: What is decided about the model's calls.
        views: Of this server's breakers.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.failure: ServerError | None = None
        self.traffic: Traffic = NO_TRAFFIC
        self.views: Mapping[ModelVersion, BreakerView] = {}

    def _answer(self, name: str, model: str, *given: Any, **named: Any) -> ModelRecord:
        self.asked.append((name, (model, *given), named))
        if self.failure is not None:
            raise self.failure
        if model != "m":
            raise NotFound(f"no model {model!r}", field="model")
        record = model_record(version_record("1.0.0", 1), version_record("1.1.0", 2), aliases={"stable": 1})
        return dataclasses.replace(record, traffic=self.traffic)

    async def get(self, model: str) -> ModelRecord:
        return self._answer("get", model)

    async def set_split(self, model: str, *given: Any, **named: Any) -> ModelRecord:
        return self._answer("set_split", model, *given, **named)

    async def set_fallback(self, model: str, *given: Any, **named: Any) -> ModelRecord:
        return self._answer("set_fallback", model, *given, **named)

    async def reset_breakers(self, model: str, *given: Any, **named: Any) -> ModelRecord:
        return self._answer("reset_breakers", model, *given, **named)

    def breakers(self, model: str) -> Mapping[ModelVersion, BreakerView]:
        return {version: view for version, view in self.views.items() if version.model == model}


async def nothing(_actor: str) -> None:
    """Stay."""


def ports() -> RolloutPorts:
    """All of it, of a server that stays."""
    return RolloutPorts(
        rollouts=FakeRollouts(),
        traffic=FakeTraffic(),
        drain=nothing,
        workers=lambda: (Worker("w", AT, is_ready=True, revision=3, controls_rollouts=True),),
    )
