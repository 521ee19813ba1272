"""Counts each call to a model exactly once, with the time it took."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from serinus.core.errors import DeadlinePassed, Draining, InvalidInput, Overloaded, ServerError
from serinus.core.predictor import Predictor, Request, Response
from serinus.telemetry.outcome import Outcome


class CallMetrics(Protocol):
    """What is counted about the calls of one version."""

    def answered(self, *, request_s: float, queue_s: float, compute_s: float, rows: int) -> None:
        """A call was answered."""
        ...

    def unanswered(self, outcome: Outcome, request_s: float) -> None:
        """A call ended without an answer."""
        ...

    def shed(self, reason: str) -> None:
        """It did so because it was refused, for this reason."""
        ...


class Measured:
    """The outermost layer of a version: every call that enters is counted when it leaves, however it leaves.

    Attributes:
        metrics: Of this version.
        clock: Event-loop time in seconds.
        last_used_s: When a call last left, on that clock, or else when the layer was made.
    """

    def __init__(self, inner: Predictor, *, metrics: CallMetrics, clock: Callable[[], float]) -> None:
        self._inner = inner
        self._metrics = metrics
        self._clock = clock
        self.last_used_s = clock()

    async def predict(self, request: Request, /) -> Response:
        """Answer a call and count it."""
        try:
            response = await self._inner.predict(request)
        except BaseException as error:
            self.last_used_s = now = self._clock()
            self._metrics.unanswered(_outcome(error, late=now >= request.deadline), now - request.arrived)
            if isinstance(error, Overloaded | Draining):
                self._metrics.shed(error.reason)
            raise
        self.last_used_s = now = self._clock()
        self._metrics.answered(
            request_s=now - request.arrived,
            queue_s=response.queue_s,
            compute_s=response.compute_s,
            rows=request.rows,
        )
        return response


def _outcome(error: BaseException, *, late: bool) -> Outcome:
    match error:
        case InvalidInput():
            return Outcome.INVALID
        case Overloaded() | Draining():
            return Outcome.SHED
        case DeadlinePassed():
            return Outcome.EXPIRED
        case asyncio.CancelledError():
            # gRPC cancels the handler at the call's deadline as well as when the caller goes away.
            return Outcome.EXPIRED if late else Outcome.CANCELLED
        case ServerError() | _:
            return Outcome.FAILED
