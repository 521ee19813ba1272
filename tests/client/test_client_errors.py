"""Errors: one class per thing that a caller can do about it."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from serinus_api.v1 import predict_pb2 as pb
from serinus_client import errors
from serinus_client.error_details import read_facts
from serinus_client.errors import BY_CODE, NEVER_S, InvalidInput, SerinusError, from_call_error, from_status

C = grpc.StatusCode


def test_every_status_but_ok_has_an_error_and_every_error_a_status():
    """The table is total in both directions."""
    assert set(BY_CODE) == set(C) - {C.OK}
    assert set(BY_CODE.values()) == set(SerinusError.__subclasses__())


def test_a_call_that_nobody_here_cancelled_may_be_tried_again():
    """A server that stops drops calls which it had not looked at."""
    assert BY_CODE[C.CANCELLED] is errors.Unavailable


@pytest.mark.parametrize("kind", SerinusError.__subclasses__())
def test_a_default_status_leads_back_to_its_class(kind):
    """An error raised locally has the code that the server's would have had."""
    error = kind("why")
    assert BY_CODE[error.code] is kind
    assert (error.message, str(error), error.retry_after_s) == ("why", f"{kind.default_reason}: why", None)


def test_time_and_connection_errors_are_pythons_own_as_well():
    """Callers that know no Serinus still catch what they know."""
    assert isinstance(errors.DeadlineExceeded("late"), TimeoutError)
    assert isinstance(errors.Unavailable("gone"), ConnectionError)


@pytest.mark.parametrize(
    ("text", "given", "reason", "message"),
    [
        ("WRONG_DTYPE: input 'x': expected FP32, got FP64", "", "WRONG_DTYPE", "input 'x': expected FP32, got FP64"),
        ("WRONG_DTYPE: input 'x'", "WRONG_DTYPE", "WRONG_DTYPE", "input 'x'"),
        ("input 'x'", "WRONG_DTYPE", "WRONG_DTYPE", "input 'x'"),
        ("GRPC: stays", "OTHER", "OTHER", "GRPC: stays"),
        ("failed to connect: refused", "", "INVALID_INPUT", "failed to connect: refused"),
        ("", "", "INVALID_INPUT", "the server gave no message"),
    ],
)
def test_the_reason_is_split_from_the_sentence(text, given, reason, message):
    """The unary text begins with the reason; a frame carries it apart."""
    error = from_status(C.INVALID_ARGUMENT, text, reason=given)
    assert (type(error), error.reason, error.message) == (errors.InvalidInput, reason, message)


@pytest.mark.parametrize(("pushback_ms", "retry_after_s"), [(None, None), (0, 0.0), (250, 0.25), (-1, NEVER_S)])
def test_pushback_of_a_frame_becomes_seconds(pushback_ms, retry_after_s):
    """Absent, now, later and never stay apart."""
    message = pb.CallError(code=8, message="full", reason="QUEUE_FULL", retry_after_ms=pushback_ms)
    error = from_call_error(message)
    assert (type(error), error.reason, error.code) == (errors.Overloaded, "QUEUE_FULL", C.RESOURCE_EXHAUSTED)
    assert error.retry_after_s == retry_after_s


def test_a_code_of_the_future_is_the_servers_fault():
    """Unknown numbers neither crash nor invite a retry."""
    error = from_call_error(pb.CallError(code=99, message="new"))
    assert (type(error), error.code) == (errors.ServerFault, C.UNKNOWN)


def test_again_copies_all_but_the_traceback():
    """Several callers of one failure each get an exception of their own."""
    error = errors.Unavailable("gone", reason="LOST", retry_after_s=1.5)
    copy = error.again()
    assert copy is not error
    assert vars(copy) == vars(error)


def test_a_message_that_is_too_long_is_the_callers_to_mend():
    """grpc refuses it with the code of an overload, and waiting would never help."""
    text = "SERVER: Received message larger than max (20971553 vs. 16777216)"
    error = from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
    assert isinstance(error, InvalidInput)
    assert str(error) == (
        "MESSAGE_TOO_LARGE: the message has 20971553 bytes, the server takes 16777216: "
        "send fewer rows at once, or start the server with --max-message-mib"
    )


def test_what_shares_a_code_is_told_apart_by_its_reason():
    """Not serving now is one of the things that what there is does not allow."""
    assert type(from_status(C.FAILED_PRECONDITION, "NOT_LOADED: loading")) is errors.NotLoaded
    assert type(from_status(C.FAILED_PRECONDITION, "IN_USE: an alias names it")) is errors.Refused
    assert issubclass(errors.NotLoaded, errors.Refused)


@pytest.mark.parametrize(
    ("facts", "revision"), [({"current_revision": "7"}, 7), ({}, None), ({"current_revision": "x"}, None)]
)
def test_a_conflict_says_what_to_read_again(facts, revision):
    """Unless the server did not say it, or not in numbers."""
    assert errors.Conflict("moved", facts=facts).current_revision == revision


def test_facts_are_read_from_the_details_that_servers_send():
    """Written by googleapis' own classes; what cannot be read says nothing."""
    status = status_pb2.Status(code=10, message="m")
    status.details.add().Pack(error_details_pb2.RetryInfo())
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="R", domain="serinus", metadata={"a": "1", "b": "2"}))
    assert read_facts(status.SerializeToString()) == {"a": "1", "b": "2"}
    assert read_facts(b"") == read_facts(b"\xff\x00") == {}
