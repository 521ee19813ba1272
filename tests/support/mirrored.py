"""A mirror with everything around it, on virtual time: versions, a split, a candidate that does what a test says."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np

from serinus.core.predictor import Predictor, Request, Response, Tensors
from serinus.core.traffic import WHOLE, Arm, Likeness, MirrorPlan, Observation, TrafficSplit
from serinus.core.version import ModelVersion, Version
from serinus.serving.mirroring.mirror import Mirrors
from serinus.telemetry.outcome import PairEnd
from tests.support.fakes import FAR

STABLE = ModelVersion("m", Version(1), 1)
CANDIDATE = ModelVersion("m", Version(2), 2)
ROLLOUT = "r-1"


def split(
    *,
    share: int = WHOLE,
    likeness: Likeness | None = None,
    timeout_s: float = 30.0,
    rollout: str = ROLLOUT,
    segment: int = 0,
) -> TrafficSplit:
    """All calls to the baseline, and copies of `share` of them to the candidate."""
    plan = MirrorPlan(CANDIDATE, share, likeness or Likeness(), timeout_s)
    observation = Observation(rollout, segment) if rollout else None
    return TrafficSplit("salt", (Arm(STABLE, WHOLE),), mirror=plan, observation=observation)


def call(value: float = 1.0, *, request_id: str = "", inputs: Tensors | None = None) -> Request:
    """A call that names the baseline, as routing leaves it."""
    x = inputs or {"x": np.array([[value, 0.0]], np.float32)}
    return Request(x, FAR, model="m", version="1", request_id=request_id, priority=1, alone=True, size_bytes=1000)


def answer(value: float = 1.0, *, version: ModelVersion = STABLE, seconds: float = 0.5) -> Response:
    """What a version answers."""
    return Response({"y": np.array([[value, 0.0]], np.float32)}, version, compute_s=seconds)


class Candidate:
    """What stands behind a mirror: answers each copy with `behave`.

    Attributes:
        requests: The copies that came in.
    """

    def __init__(self, behave: Callable[[Request], Awaitable[Response]] | Response | Exception) -> None:
        self.requests: list[Request] = []
        self._behave = behave

    async def predict(self, request: Request, /) -> Response:
        """Answer a copy."""
        self.requests.append(request)
        if isinstance(self._behave, Exception):
            raise self._behave
        if isinstance(self._behave, Response):
            return self._behave
        return await self._behave(request)


class FakeMirrorMetrics:
    """Writes down what becomes of copies.

    Attributes:
        ends: In order.
        some: There is one.
    """

    def __init__(self) -> None:
        self.ends: list[PairEnd] = []
        self.some = asyncio.Event()

    def mirrored(self, model: str, end: PairEnd) -> None:
        """Write down an end."""
        assert model == "m"
        self.ends.append(end)
        self.some.set()


async def hangs(request: Request) -> Response:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError(request)


@contextlib.asynccontextmanager
async def mirroring(
    candidate: Predictor,
    *,
    metrics: FakeMirrorMetrics | None = None,
    budget_bytes: int = 1 << 20,
    is_idle: Callable[[], bool] = lambda: True,
    max_waiting: int = 64,
    at_once: int = 1,
    seed: int = 0,
) -> AsyncIterator[Mirrors]:
    """A mirror in front of `candidate`, on the clock of the running loop, which starts 1000 s after 1970."""
    loop = asyncio.get_running_loop()
    mirrors = Mirrors(
        candidate,
        budget_bytes=budget_bytes,
        is_idle=is_idle,
        row_axes=lambda _version: {"y": 0},
        metrics=metrics or FakeMirrorMetrics(),
        rng=random.Random(seed),
        clock=loop.time,
        unix_clock=lambda: 1000.0 + loop.time(),
        max_waiting=max_waiting,
        at_once=at_once,
    )
    async with mirrors:
        yield mirrors
