"""What stands in front of the models: routing by what was decided about their calls, and the mirror behind it."""

import contextlib
import random
from collections.abc import AsyncIterator, Mapping

from serinus.config.sections import RolloutSettings
from serinus.core.errors import ServerError
from serinus.core.signature import Signature
from serinus.core.version import ModelVersion
from serinus.lifecycle.models import Models
from serinus.serving.batching.slots import RunSlots
from serinus.serving.mirroring.mirror import Mirrors
from serinus.serving.pressure import Pressure, PressureLevel
from serinus.serving.routing.breaker import BreakerLimits
from serinus.serving.routing.routes import Routes
from serinus.telemetry.metrics import Metrics

_MIB = 1 << 20


class Front:
    """The layers before a version is found.

    Attributes:
        routes: What callers reach.
        mirrors: Copies their calls.
    """

    def __init__(self, routes: Routes, mirrors: Mirrors) -> None:
        self.routes = routes
        self.mirrors = mirrors


@contextlib.asynccontextmanager
async def open_front(
    models: Models,
    settings: RolloutSettings,
    *,
    slots: RunSlots,
    pressure: Pressure,
    metrics: Metrics,
    rng: random.Random,
) -> AsyncIterator[Front]:
    """The layers in front of `models`; what is decided about calls is yet to be applied.

    Args:
        models: Answer calls that name a version.
        settings: What the operator says of breakers and mirrors.
        slots: Of the compute pool; copies of calls run while it has nothing else to do.
        pressure: Of memory; while there is any, no calls are copied.
        metrics: What is counted.
        rng: Draws.
    """

    def signature_of(version: ModelVersion) -> Signature | None:
        return models.find(version.model, version.number_text).signature if models.serves(version) else None

    def meaning(model: str, selector: str) -> ModelVersion | None:
        try:
            return models.find(model, selector).identity
        except ServerError:
            return None

    def row_axes(version: ModelVersion) -> Mapping[str, int | None]:
        signature = signature_of(version)
        return {} if signature is None else {spec.name: spec.batch_axis for spec in signature.outputs}

    async with Mirrors(
        models,
        budget_bytes=settings.mirror_mib * _MIB,
        is_idle=lambda: slots.is_idle,
        row_axes=row_axes,
        has_memory=lambda: pressure.level is PressureLevel.NORMAL,
        metrics=metrics.rollouts,
        rng=rng,
    ) as mirrors:
        routes = Routes(
            models,
            is_ready=models.serves,
            meaning=meaning,
            signature_of=signature_of,
            mirrors=mirrors,
            metrics=metrics.rollouts,
            rng=rng,
            breaker=BreakerLimits(failures=settings.breaker_failures, open_s=settings.breaker_open_s),
        )
        yield Front(routes, mirrors)
