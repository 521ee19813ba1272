"""A call on its way in a frame."""

import asyncio
from typing import NamedTuple

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.errors import SerinusError

_US_PER_S = 1e6

_USUAL_PRIORITY = 5  # where a server puts calls that name none, unless its operator says otherwise
_RANKS = {pb.CRITICALITY_CRITICAL: 0, pb.CRITICALITY_SHEDDABLE: 2}  # 1: everything else
# Half would give up calls for which there is time after a burst, at a load that is just met: 0.93 of the calls were
# answered in time, 0.98 with this; with less than this calls are sent that no server can answer in time any more.
_LITTLE_LEFT = 0.3

Outcome = pb.PredictResponse | SerinusError


class Lane(NamedTuple):
    """Calls that wait in one line, one after the other.

    Attributes:
        rank: 0 for critical calls, 1 for usual ones, 2 for those that may be shed.
        priority: 1 is the most urgent.
        model: Which model they are for.
    """

    rank: int
    priority: int
    model: str

    @classmethod
    def of(cls, request: pb.PredictRequest) -> "Lane":
        """Where a request belongs."""
        return cls(_RANKS.get(request.criticality, 1), request.priority or _USUAL_PRIORITY, request.model)


class Pending:
    """One call from its submission to its outcome.

    Attributes:
        id: The client's number for it; never used twice by one client.
        frame: A frame that holds this call alone; None once it is over, because tensors are large and
            deadlines far.
        lane: Where it waits.
        size_bytes: About how much of a message it takes.
        since: Event-loop time in seconds at which it came.
        deadline: Likewise, after which nobody waits.
        outcome: Resolved once, with the answer or the error that took its place; cancelled with its caller.
    """

    __slots__ = ("deadline", "frame", "id", "lane", "outcome", "since", "size_bytes")

    def __init__(
        self,
        id_: int,
        frame: pb.PredictFrame,
        *,
        size_bytes: int,
        since: float,
        deadline: float,
        outcome: asyncio.Future[Outcome],
    ) -> None:
        self.id = id_
        self.frame: pb.PredictFrame | None = frame
        self.lane = Lane.of(frame.calls[0].request)
        self.size_bytes = size_bytes
        self.since = since
        self.deadline = deadline
        self.outcome = outcome

    @property
    def is_over(self) -> bool:
        """Whether it has its outcome, or nobody waits for one."""
        return self.outcome.done()

    def has_waited_long(self, now: float) -> bool:
        """Whether most of its time is over."""
        return self.deadline - now < _LITTLE_LEFT * (self.deadline - self.since)

    def to_bytes(self, now: float) -> bytes:
        """The frame with the time that is left."""
        assert self.frame is not None, "this is a bug: a call was sent after it was over"
        call = self.frame.calls[0]
        call.id = self.id
        # 0 would mean no limit at all.
        call.request.timeout_us = max(1, int((self.deadline - now) * _US_PER_S))
        return self.frame.SerializeToString()

    def end(self, outcome: Outcome) -> None:
        """Hand over the outcome, if somebody still waits."""
        self.frame = None
        if not self.outcome.done():
            self.outcome.set_result(outcome)
