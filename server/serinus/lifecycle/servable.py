"""A loaded version: ready to answer, until it is closed."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from serinus.config.models import ModelOptions, VersionSpec
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
    def options(self) -> ModelOptions:
        """What the operator, or the author, said about how it is served."""
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

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, as far as that is known."""
        ...

    @property
    def calls(self) -> int:
        """Calls inside."""
        ...

    @property
    def last_used_s(self) -> float:
        """`time.monotonic()` in seconds at which a call last left it, or else at which it was loaded."""
        ...

    async def close(self) -> None:
        """Refuse new calls, wait for those inside, give everything back."""
        ...


MakeRoom = Callable[[int], Awaitable[None]]
"""Waits until a load may take so many bytes in all; raises ModelRejected if it may not."""


class Loader(Protocol):
    """Makes servables; slow, never blocks the event loop."""

    async def __call__(self, spec: VersionSpec, make_room: MakeRoom) -> Servable:
        """Load, check and warm up a version. Cancelled, it leaves nothing behind.

        Args:
            spec: Which version, and where its files are.
            make_room: To be called with the size of the files right before they come into memory, and again if they
                turn out to take more.

        Raises:
            ModelRejected: it cannot be served.
            DataLost: a file is not what was registered.
            StoreUnavailable, StoreFull: its files cannot be had now.
        """
        ...
