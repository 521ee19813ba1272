"""The words for how calls end."""

import asyncio

import grpc
import grpc.aio
import pytest

from serinus.bench.calls import Outcome, RefusedCall, outcome_of
from serinus_client import DeadlineExceeded, Overloaded


def rpc_error(code, details):
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Overloaded("full", reason="QUEUE_FULL"), Outcome("RESOURCE_EXHAUSTED", "QUEUE_FULL")),
        (DeadlineExceeded("late"), Outcome("DEADLINE_EXCEEDED", "DEADLINE_PASSED")),
        (
            rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LATE: 3 s"),
            Outcome("RESOURCE_EXHAUSTED", "TOO_LATE"),
        ),
        (rpc_error(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"), Outcome("UNAVAILABLE")),
        (rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED, None), Outcome("DEADLINE_EXCEEDED")),
        (TimeoutError(), Outcome("DEADLINE_EXCEEDED")),
        (asyncio.InvalidStateError(), Outcome("UNAVAILABLE", "CONNECTION_LOST")),
        (RefusedCall("QUEUE_FULL: 7 wait"), Outcome("UNKNOWN", "QUEUE_FULL")),
        (RefusedCall("something else"), Outcome("UNKNOWN")),
        (KeyError("x"), Outcome("UNKNOWN", "KeyError")),
    ],
)
def test_an_error_is_a_code_and_the_servers_reason(error, outcome):
    """A reason only where the server gave one."""
    assert outcome_of(error) == outcome
