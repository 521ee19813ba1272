"""What sharing out a model's calls costs each of them: `python benchmarks/routing_cost.py [--calls N] [--repeats N]`.

A call through `Routes` around a predictor that does nothing, less a call of that predictor alone; both in one process,
in turns, so that what else the machine does hits both. CPU time of the process: nothing waits. Everything is there that
a canary at 5 % has: the split, the breaker, a fallback, the window, telemetry, and a mirror that copies nothing.
"""

import asyncio
import random
import statistics
import time
from typing import Annotated

import typer

from harness.report import machine
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
from serinus.serving.breaker import BreakerLimits
from serinus.serving.mirror import Mirrors
from serinus.serving.routes import Routes
from serinus.telemetry.rollout_metrics import RolloutMetrics

STABLE, CANARY = (ModelVersion("m", Version(number), number) for number in (1, 2))
NEVER_S = 1e12
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


async def measure(calls: int, repeats: int) -> None:
    """Print a line for each kind of call."""
    bare = Nothing()
    routes = routes_around(bare)
    kinds = {
        "with a routing key": ("m", True),
        "without one": ("m", False),
        "of a model without traffic": ("untouched", False),
    }
    for name, (model, has_key) in kinds.items():
        costs = []
        for _ in range(repeats):
            alone, routed = [
                await seconds_a_call(predictor, requests(calls, model, has_key=has_key)) for predictor in (bare, routes)
            ]
            costs.append((routed - alone) * 1e6)
        low, _, high = statistics.quantiles(costs, n=4)
        print(f"{name:28} {statistics.median(costs):5.2f} µs a call (middle half {low:.2f} to {high:.2f})")


def main(
    calls: Annotated[int, typer.Option(min=1000, help="Calls of one repeat.")] = 20_000,
    repeats: Annotated[int, typer.Option(min=3, help="Interleaved repeats; the median counts.")] = 21,
) -> None:
    """Measure, and print."""
    asyncio.run(measure(calls, repeats))
    print(", ".join(f"{key} {value}" for key, value in machine().items()))


if __name__ == "__main__":
    typer.run(main)
