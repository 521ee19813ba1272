"""A loaded version: ready to answer, until it is closed."""

from collections.abc import Mapping
from typing import Protocol

from serinus.config.models import ModelSpec
from serinus.core.predictor import Predictor
from serinus.core.signature import Signature
from serinus.core.version import ModelVersion
from serinus.telemetry.model_metrics import ModelMetrics


class Servable(Predictor, Protocol):
    """A loaded version, with every layer around it."""

    @property
    def identity(self) -> ModelVersion:
        """Which version it is."""
        ...

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        ...

    @property
    def spec(self) -> ModelSpec:
        """What the operator said about its model."""
        ...

    @property
    def metrics(self) -> ModelMetrics:
        """Its counters."""
        ...

    @property
    def max_rows(self) -> int:
        """Most rows in one run; 1 when calls are not joined."""
        ...

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """Class names by output, in class order."""
        ...

    async def close(self) -> None:
        """Refuse new calls, wait for those inside, give everything back."""
        ...


class Loader(Protocol):
    """Makes servables; slow, never blocks the event loop."""

    async def __call__(self, spec: ModelSpec, number: int) -> Servable:
        """Load, check and warm up version `number` of a model.

        Raises:
            ModelRejected: it cannot be served.
        """
        ...
