"""Stand-ins for what surrounds the routes: models that answer, fail or take their time, and who watches."""

import asyncio
import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from serinus.core.dtypes import DType
from serinus.core.errors import DeadlinePassed, NotFound, NotLoaded
from serinus.core.predictor import Request, Response, Route
from serinus.core.signature import Signature
from serinus.core.traffic import WHOLE, Arm, Observation, TrafficSplit, Trigger
from serinus.core.version import ModelVersion, Version
from serinus.serving.routing.breaker import BreakerLimits, BreakerState
from serinus.serving.routing.routes import Routes
from tests.support.fakes import FAR, spec

STABLE = ModelVersion("m", Version(1), 1)
CANARY = ModelVersion("m", Version(2), 2)
OTHER = ModelVersion("other", Version(1), 1)
SCORED = Signature((spec("x", "n", 1, dtype=DType.FP32),), (spec("y", "n", 1, dtype=DType.FP32),))
BY_NAME = {("m", ""): STABLE, ("m", "stable"): STABLE, ("other", "stable"): OTHER}


@dataclasses.dataclass
class Behaviour:
    """What a version does with a call: after `seconds`, gives `value` for each row, or raises `error`.

    Like the batcher it ends a call at its deadline.
    """

    value: float = 1.0
    error: Callable[[], BaseException] | None = None
    seconds: float = 0.0


class FakeModels:
    """The models, each version with its behaviour.

    Attributes:
        does: Behaviour by version.
        asked: The versions that were asked, in order.
        requests: What they were asked.
        under_way: Calls that have not ended.
        aliases: Version by model and selector, besides numbers.
    """

    def __init__(self, does: Mapping[ModelVersion, Behaviour] | None = None) -> None:
        self.does = {STABLE: Behaviour(1.0), CANARY: Behaviour(2.0), OTHER: Behaviour(3.0), **(does or {})}
        self.asked: list[ModelVersion] = []
        self.requests: list[Request] = []
        self.under_way = 0
        self.aliases = dict(BY_NAME)

    def meaning(self, model: str, selector: str) -> ModelVersion | None:
        """The version that a selector means."""
        by_number = {(each.model, each.number_text): each for each in self.does}
        return {**by_number, **self.aliases}.get((model, selector))

    async def predict(self, request: Request, /) -> Response:
        """Do what the version does."""
        version = self.meaning(request.model, request.version)
        if version is None:
            raise NotFound("no such version") if request.version else NotLoaded("nothing serves")
        self.asked.append(version)
        self.requests.append(request)
        self.under_way += 1
        try:
            return await self._answer(request, version, self.does[version])
        finally:
            self.under_way -= 1

    async def _answer(self, request: Request, version: ModelVersion, does: Behaviour) -> Response:
        request.rows = len(request.inputs["x"])
        left_s = request.deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise DeadlinePassed("over")
        if does.seconds:
            await asyncio.sleep(min(does.seconds, left_s))
        if does.seconds >= left_s:
            raise DeadlinePassed("over")
        if does.error is not None:
            raise does.error()
        y = np.full((request.rows, 1), does.value, np.float32)
        return Response({"y": y}, version, nonfinite_rows=int(not np.isfinite(y).all()))


class FakeRouteMetrics:
    """Writes down what is counted.

    Attributes:
        events: What became of calls, in order.
        shares: How calls were shared out, in order: weights by version.
    """

    def __init__(self) -> None:
        self.shares: list[tuple[str, Mapping[ModelVersion, int]]] = []
        self.events: list[tuple[object, ...]] = []

    def routed(self, version: ModelVersion, route: Route) -> None:
        """Write down an answer."""
        self.events.append(("routed", version, route))

    def fell_back(self, model: str, trigger: Trigger) -> None:
        """Write down another's answer."""
        self.events.append(("fell back", model, trigger))

    def fell_through(self, model: str, trigger: Trigger) -> None:
        """Write down that there was none."""
        self.events.append(("fell through", model, trigger))

    def breaker_changed(self, version: ModelVersion, state: BreakerState) -> None:
        """Write down a state."""
        self.events.append(("breaker", version, state))

    def shared_out(self, model: str, arms: Sequence[Arm]) -> None:
        """Write down the shares."""
        self.shares.append((model, {arm.version: arm.weight for arm in arms}))


class FakeMirrors:
    """Writes down what it is offered.

    Attributes:
        offers: The versions that the requests name, and who answered.
    """

    def __init__(self) -> None:
        self.offers: list[tuple[str, ModelVersion]] = []

    def offer(self, request: Request, response: Response, split: TrafficSplit) -> None:
        """Write it down."""
        assert split.mirror is not None
        self.offers.append((request.version, response.answered_by))


@dataclasses.dataclass
class Scene:
    """Routes in front of models, with all who watch."""

    models: FakeModels
    routes: Routes
    metrics: FakeRouteMetrics
    mirrors: FakeMirrors
    ready: set[ModelVersion]


def scene(
    does: Mapping[ModelVersion, Behaviour] | None = None, *, failures: int = 3, open_s: float = 5.0, seed: int = 1
) -> Scene:
    """Routes on the running virtual loop."""
    models, metrics, mirrors = FakeModels(does), FakeRouteMetrics(), FakeMirrors()
    ready = set(models.does)
    routes = Routes(
        models,
        is_ready=ready.__contains__,
        meaning=models.meaning,
        signature_of=lambda version: SCORED if version.number else None,
        mirrors=mirrors,
        metrics=metrics,
        rng=random.Random(seed),
        breaker=BreakerLimits(failures, open_s),
        clock=asyncio.get_running_loop().time,
    )
    return Scene(models, routes, metrics, mirrors, ready)


def half(salt: str = "s", *, weight: int = WHOLE // 2, **more: object) -> TrafficSplit:
    """A split between the canary and stable, the baseline."""
    split = TrafficSplit(salt, (Arm(CANARY, weight), Arm(STABLE, WHOLE - weight)))
    return dataclasses.replace(split, **more)


def observed(segment: int = 0, *, rollout: str = "r", slow_s: float | None = None, skip_first: int = 0) -> Observation:
    """What is counted of a split."""
    return Observation(rollout, segment, slow_s=slow_s, skip_first=skip_first)


def call(
    *, key: str = "", version: str = "", rows: int = 1, deadline: float = FAR, model: str = "m", **attributes: str
) -> Request:
    """A call of the model."""
    x = np.zeros((rows, 1), np.float32)
    return Request({"x": x}, deadline, model=model, version=version, routing_key=key, attributes=attributes, rows=rows)
