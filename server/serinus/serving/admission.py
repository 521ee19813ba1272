"""Turns work away while turning it away is still cheap."""

from collections.abc import Callable
from typing import Protocol

from serinus.core.errors import DeadlinePassed, Overloaded
from serinus.core.predictor import Predictor, Request, Response

_SHORTEST_RETRY_S = 0.01  # below this a client's back-off is noise
_LONGEST_RETRY_S = 5.0  # beyond this the prediction is worth nothing


class Backlog(Protocol):
    """What waits in front of a model; the batcher is one."""

    @property
    def queued_calls(self) -> int:
        """Calls that wait for a run."""
        ...

    def predicted_finish_s(self, rows: int) -> float:
        """Seconds until a call of `rows` that came now would be answered; 0 when nothing is in its way."""
        ...


class ByteBudget:
    """The memory that all calls in flight share.

    Attributes:
        limit: Most bytes admitted at once.
        used: Bytes of the calls in flight.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def __repr__(self) -> str:
        return f"<ByteBudget {self.used}/{self.limit} bytes>"


class Admission:
    """A layer that admits a call only if there is memory for it and time to answer it.

    Attributes:
        budget: Shared by all models of the process.
        backlog: The queue further in.
        max_calls: Most calls that may wait in that queue.
        clock: Event-loop time in seconds.
    """

    def __init__(
        self,
        inner: Predictor,
        *,
        budget: ByteBudget,
        backlog: Backlog,
        max_calls: int,
        clock: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._budget = budget
        self._backlog = backlog
        self._max_calls = max_calls
        self._clock = clock

    async def predict(self, request: Request, /) -> Response:
        """Answer a call that is admitted.

        Raises:
            DeadlinePassed: its deadline was over when it came.
            Overloaded: no memory, no place in the queue, or no time before the deadline.
        """
        left_s = request.deadline - self._clock()
        if left_s <= 0:
            raise DeadlinePassed("the deadline had passed when the call arrived")
        finish_s = self._backlog.predicted_finish_s(request.rows)
        if finish_s > left_s:
            raise Overloaded(
                f"the answer is predicted in {finish_s:.3f} s, the deadline is in {left_s:.3f} s",
                reason="TOO_LATE",
                retry_after_s=_retry_after(finish_s - left_s),
            )
        if self._backlog.queued_calls >= self._max_calls:
            raise Overloaded(
                f"{self._backlog.queued_calls} calls wait, the limit is {self._max_calls}",
                reason="QUEUE_FULL",
                retry_after_s=_retry_after(finish_s),
            )
        budget, size = self._budget, request.size_bytes
        if budget.used + size > budget.limit:
            raise Overloaded(
                f"{budget.used} bytes are in flight and the call has {size}, the limit is {budget.limit}",
                reason="BYTES_IN_FLIGHT",
                retry_after_s=_retry_after(finish_s),
            )
        budget.used += size
        try:
            return await self._inner.predict(request)
        finally:
            budget.used -= size


def _retry_after(seconds: float) -> float:
    return min(max(seconds, _SHORTEST_RETRY_S), _LONGEST_RETRY_S)
