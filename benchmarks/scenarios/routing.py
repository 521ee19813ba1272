"""Aim 13: what sharing out a model's calls costs each of them.

A call through `Routes` around a predictor that does nothing, less a call of that predictor alone; both in one process,
in turns, so that what else the machine does hits both. CPU time of the process: nothing waits. Everything is there that
a canary at 5 % has: the split, the breaker, a fallback, the window, telemetry, and a mirror that copies nothing.
"""

import asyncio
import random
import statistics
import time

from harness.plan import Plan
from harness.rows import Row, Verdict
from serinus.core.predictor import Predictor, Request, Response
from serinus.core.traffic import (
    WHOLE,
    Arm,
    FallbackPolicy,
    MirrorPlan,
    Observation,
    OtherVersion,
    Traffic,
    TrafficSplit,
)
from serinus.core.version import ModelVersion, Version
from serinus.serving.mirroring.mirror import Mirrors
from serinus.serving.routing.breaker import BreakerLimits
from serinus.serving.routing.routes import Routes
from serinus.telemetry.rollout_metrics import RolloutMetrics

STABLE, CANARY = (ModelVersion("m", Version(number), number) for number in (1, 2))
NEVER_S = 1e12
_AT_MOST_US = 10.0
_TURNS = 7  # for each repeat that is asked for: one takes a tenth of a second
_CALLS = 20_000
CANARY_SHARE = WHOLE // 20


class Nothing:
    """Answers at once."""

    async def predict(self, request: Request, /) -> Response:
        """Answer as whoever was asked."""
        return Response({}, CANARY if request.version == CANARY.number_text else STABLE)


def routes_around(inner: Predictor) -> Routes:
    """With traffic for the model "m"."""
    metrics = RolloutMetrics()
    for version in (STABLE, CANARY):
        metrics.loaded(version)
    routes = Routes(
        inner,
        is_ready={STABLE: True, CANARY: True}.__getitem__,
        meaning=lambda _model, _selector: STABLE,
        signature_of=lambda _version: None,
        mirrors=Mirrors(
            inner,
            budget_bytes=1 << 20,
            is_idle=lambda: True,
            row_axes=lambda _version: {},
            metrics=metrics,
            rng=random.Random(1),
        ),
        metrics=metrics,
        rng=random.Random(1),
        breaker=BreakerLimits(failures=5, open_s=5.0),
    )
    split = TrafficSplit(
        "a-rollout-of-today",
        (Arm(CANARY, CANARY_SHARE), Arm(STABLE, WHOLE - CANARY_SHARE)),
        mirror=MirrorPlan(CANARY, share=0),
        observation=Observation("a-rollout", 1, slow_s=0.1, skip_first=10),
    )
    fallback = FallbackPolicy((OtherVersion("other", "stable"),))
    routes.apply("m", Traffic(split, fallback, rollout="a-rollout"))
    return routes


async def seconds_a_call(predictor: Predictor, requests: list[Request]) -> float:
    """CPU time, of one caller that does nothing else."""
    started = time.process_time()
    for request in requests:
        await predictor.predict(request)
    return (time.process_time() - started) / len(requests)


def requests(calls: int, model: str, *, has_key: bool) -> list[Request]:
    """Fresh ones: routing writes into them."""
    return [
        Request({}, NEVER_S, model=model, routing_key=f"user-{number}" if has_key else "") for number in range(calls)
    ]


def measure(plan: Plan) -> list[Row]:
    """Each kind of call, in turns with the bare predictor."""
    return asyncio.run(_measure(_TURNS * plan.repeats))


async def _measure(turns: int) -> list[Row]:
    bare = Nothing()
    routes = routes_around(bare)
    kinds = {
        "a call that is shared out, with a routing key": ("m", True, True),
        "a call that is shared out, without a routing key": ("m", False, True),
        "a call of a model whose calls are not shared out": ("untouched", False, False),
    }
    rows = []
    for name, (model, has_key, is_aim) in kinds.items():
        costs = []
        for _ in range(turns):
            alone, routed = [
                await seconds_a_call(predictor, requests(_CALLS, model, has_key=has_key))
                for predictor in (bare, routes)
            ]
            costs.append((routed - alone) * 1e6)
        low, middle, high = statistics.quantiles(costs, n=4)
        figure = f"{middle:.2f} µs CPU (middle half {low:.2f} to {high:.2f})"
        what = f"routing, counting and an idle mirror: {name}"
        if is_aim:
            verdict = Verdict.MET if middle <= _AT_MOST_US else Verdict.MISSED
            rows.append(Row(13, what, figure, f"≤ {_AT_MOST_US:.0f} µs", verdict, (middle,)))
        else:
            rows.append(Row(13, what, figure, measured=(middle,)))
    return rows
