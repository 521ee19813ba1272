"""Turns work away while turning it away is still cheap."""

from collections.abc import Callable
from typing import NoReturn, Protocol

from serinus.core.criticality import Criticality
from serinus.core.errors import DeadlinePassed, Overloaded
from serinus.core.predictor import Predictor, Request, Response
from serinus.serving.pressure import Pressure, PressureLevel
from serinus.serving.room import Room

_SHORTEST_RETRY_S = 0.01  # below this a client's back-off is noise
_LONGEST_RETRY_S = 5.0  # beyond this the prediction is worth nothing
_PRESSURE_RETRY_S = 1.0  # what fills memory seldom goes sooner

# Of the time that a call has left, the part within which its answer must be predicted. What sheddable calls leave free
# is for the others, and the rest of what default calls leave is the margin for runs that take longer than predicted:
# without one, a server that is held at the edge of its deadlines answers many of its calls just too late. Simulated at
# ten times the load, with runs of half to one and a half times their usual length: with a tenth as margin 4 % of the
# work was for nothing, with a fifth under 1 %, and as much was answered.
_PARTS = {Criticality.CRITICAL: 1.0, Criticality.DEFAULT: 0.8, Criticality.SHEDDABLE: 0.5}


class Backlog(Protocol):
    """What waits in front of a model; the batcher is one."""

    @property
    def queued_calls(self) -> int:
        """Calls that wait for a run."""
        ...

    def predicted_finish_s(self, request: Request) -> float:
        """Seconds until a call that came now would be answered; 0 when nothing is in its way."""
        ...

    def predicted_wait_s(self, request: Request) -> float:
        """Seconds until a run would take a call that came now; 0 when nothing is in its way."""
        ...

    def make_room(self, request: Request) -> Room:
        """End a waiting call that has to give way to this one, if there is one."""
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
        pressure: Of memory; None where nobody looks.
        max_calls: Most calls that may wait in that queue.
        max_wait_s: Calls are refused while they would wait longer than this; None leaves it to their deadlines.
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
        max_wait_s: float | None = None,
        pressure: Pressure | None = None,
    ) -> None:
        self._inner = inner
        self._budget = budget
        self._backlog = backlog
        self._max_calls = max_calls
        self._max_wait_s = max_wait_s
        self._pressure = pressure
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
        if self._pressure is not None and self._pressure.level is not PressureLevel.NORMAL:
            self._check_pressure(self._pressure.level, request)
        backlog, budget, size = self._backlog, self._budget, request.size_bytes
        finish_s = backlog.predicted_finish_s(request)
        if finish_s > left_s * _PARTS[request.criticality]:
            _refuse_late(finish_s, left_s, request)
        if self._max_wait_s is not None:
            self._check_wait(self._max_wait_s, request)
        if budget.used + size > budget.limit:
            raise Overloaded(
                f"{budget.used} bytes are in flight and the call has {size}, the limit is {budget.limit}",
                reason="BYTES_IN_FLIGHT",
                retry_after_s=_retry_after(finish_s),
            )
        # Last: another call ends for this one, which is then not refused any more.
        if backlog.queued_calls >= self._max_calls:
            self._make_room(request, finish_s)
        budget.used += size
        try:
            return await self._inner.predict(request)
        finally:
            budget.used -= size

    def _check_pressure(self, level: PressureLevel, request: Request) -> None:
        if level is PressureLevel.FULL or request.criticality is Criticality.SHEDDABLE:
            raise Overloaded(
                f"the server is near its memory limit and takes no {request.criticality.name.lower()} calls",
                reason="MEMORY_PRESSURE",
                retry_after_s=_PRESSURE_RETRY_S,
            )

    def _check_wait(self, most_s: float, request: Request) -> None:
        wait_s = self._backlog.predicted_wait_s(request)
        if wait_s > most_s:
            raise Overloaded(
                f"a run is predicted in {wait_s:.3f} s, the limit is {most_s:g} s",
                reason="QUEUE_WAIT",
                retry_after_s=_retry_after(wait_s - most_s),
            )

    def _make_room(self, request: Request, finish_s: float) -> None:
        room = self._backlog.make_room(request)
        if room is Room.MADE:
            return
        calls = self._backlog.queued_calls
        if room is Room.SHARE_USED:
            raise Overloaded(
                f"{calls} calls wait, which is the limit, and this tenant has its share of them",
                reason="TENANT_SHARE",
                retry_after_s=_retry_after(finish_s),
            )
        raise Overloaded(
            f"{calls} calls wait, the limit is {self._max_calls}",
            reason="QUEUE_FULL",
            retry_after_s=_retry_after(finish_s),
        )


def _refuse_late(finish_s: float, left_s: float, request: Request) -> NoReturn:
    part = _PARTS[request.criticality]
    raise Overloaded(
        f"the answer is predicted in {finish_s:.3f} s, the deadline is in {left_s:.3f} s"
        + (f", of which {request.criticality.name.lower()} calls get {part:.0%}" if part < 1.0 else ""),
        reason="TOO_LATE",
        retry_after_s=_retry_after(finish_s - left_s * part),
    )


def _retry_after(seconds: float) -> float:
    return min(max(seconds, _SHORTEST_RETRY_S), _LONGEST_RETRY_S)
