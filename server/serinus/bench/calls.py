"""What a generator of load calls, and the words for how a call ended."""

import asyncio
import re
from typing import NamedTuple, Protocol

import grpc
import grpc.aio

from serinus_client.errors import SerinusError, from_rpc_error

_REASON = re.compile(r"([A-Z][A-Z0-9_]{1,63})(: |$)")


class Call(Protocol):
    """Makes one call and returns when it has its answer."""

    async def __call__(self, number: int, timeout_s: float, /) -> int:
        """Make the call of that number, which may choose what it sends.

        Returns:
            Rows in the run that answered, its neighbours' included; 0 where the server does not say.

        Raises:
            Exception: whatever ends it without an answer; `outcome_of` names it.
        """


class Outcome(NamedTuple):
    """How a call ended.

    Attributes:
        code: A gRPC status code, or one of the generator's own words: NOT_SENT, UNANSWERED.
        reason: The server's word for it; "" where it has none.
    """

    code: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".rstrip()


ANSWERED = Outcome("OK")
NOT_SENT = Outcome("NOT_SENT", "TOO_MANY_OPEN")
"""Was due while more calls were open than the generator holds."""
UNANSWERED = Outcome("UNANSWERED")
"""Was still open when the generator stopped to wait, long after its time was up."""


class RefusedCall(Exception):
    """A call whose failure came as a message of a stream, without a status."""


def outcome_of(error: Exception) -> Outcome:
    """The words for what a call raised."""
    match error:
        case SerinusError():
            return Outcome(error.code.name, error.reason)
        case grpc.aio.AioRpcError():
            found = from_rpc_error(error)
            # What the server said, not what this client's classes add where it said nothing.
            return Outcome(error.code().name, found.reason if _REASON.match(error.details() or "") else "")
        case asyncio.InvalidStateError() | grpc.aio.UsageError():
            return Outcome(grpc.StatusCode.UNAVAILABLE.name, "CONNECTION_LOST")
        case TimeoutError():
            return Outcome(grpc.StatusCode.DEADLINE_EXCEEDED.name)
        case RefusedCall():
            found_reason = _REASON.match(str(error))
            return Outcome(grpc.StatusCode.UNKNOWN.name, found_reason[1] if found_reason else "")
    return Outcome(grpc.StatusCode.UNKNOWN.name, type(error).__name__)
