"""A call on its way in a frame."""

import asyncio

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.errors import SerinusError

_US_PER_S = 1e6

Outcome = pb.PredictResponse | SerinusError


class Pending:
    """One call from its submission to its outcome.

    Attributes:
        id: The client's number for it; never used twice by one client.
        frame: A frame that holds this call alone; None once it is over, because tensors are large and
            deadlines far.
        size_bytes: About how much of a message it takes.
        deadline: Event-loop time in seconds after which nobody waits.
        outcome: Resolved once, with the answer or the error that took its place; cancelled with its caller.
    """

    __slots__ = ("deadline", "frame", "id", "outcome", "size_bytes")

    def __init__(
        self,
        id_: int,
        frame: pb.PredictFrame,
        *,
        size_bytes: int,
        deadline: float,
        outcome: asyncio.Future[Outcome],
    ) -> None:
        self.id = id_
        self.frame: pb.PredictFrame | None = frame
        self.size_bytes = size_bytes
        self.deadline = deadline
        self.outcome = outcome

    @property
    def is_over(self) -> bool:
        """Whether it has its outcome, or nobody waits for one."""
        return self.outcome.done()

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
