"""What errors look like on the wire."""

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from serinus.core import errors
from serinus.core.errors import InvalidInput, ModelFailed, Overloaded, ServerError
from serinus.transport.status import CODES, WireStatus, internal_error, printable, status_of


def every_error(kind: type[ServerError] = ServerError) -> set[type[ServerError]]:
    return {found for below in kind.__subclasses__() for found in (below, *every_error(below))}


def error(kind: type[ServerError], message: str = "a sentence") -> ServerError:
    if issubclass(kind, errors.Conflict):
        return kind(message, current_revision=7)
    return kind(message, retry_after_s=0.25) if issubclass(kind, Overloaded) else kind(message)


def details(status: WireStatus) -> tuple[status_pb2.Status, list[object]]:
    """The status in the trailers, and its details unpacked; nothing but them and the push-back is there."""
    trailers = dict(status.trailers())
    packed = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    kinds = {
        kind.DESCRIPTOR.full_name: kind
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
    }
    found = []
    for detail in packed.details:
        message = kinds[detail.TypeName()]()
        assert detail.Unpack(message)
        found.append(message)
    return packed, found


def test_every_error_has_a_code():
    """The table holds every class of the tree and nothing else."""
    assert CODES.keys() == every_error()
    assert CODES.keys() == {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServerError)
    } - {ServerError}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidInput, "INVALID_ARGUMENT"),
        (errors.NotFound, "NOT_FOUND"),
        (errors.AlreadyExists, "ALREADY_EXISTS"),
        (errors.NotLoaded, "FAILED_PRECONDITION"),
        (errors.Loading, "UNAVAILABLE"),
        (errors.Refused, "FAILED_PRECONDITION"),
        (errors.Conflict, "ABORTED"),
        (errors.ModelRejected, "FAILED_PRECONDITION"),
        (errors.Overloaded, "RESOURCE_EXHAUSTED"),
        (errors.DeadlinePassed, "DEADLINE_EXCEEDED"),
        (errors.Draining, "UNAVAILABLE"),
        (errors.StoreUnavailable, "UNAVAILABLE"),
        (errors.StoreFull, "RESOURCE_EXHAUSTED"),
        (errors.DataLost, "DATA_LOSS"),
        (errors.Unsupported, "UNIMPLEMENTED"),
        (errors.ModelFailed, "INTERNAL"),
        (errors.BadModelOutput, "INTERNAL"),
    ],
)
def test_an_error_becomes_its_code_reason_and_sentence(kind: type[ServerError], code: str):
    """The message starts with the reason, for those who see nothing else; an overload says when to come back."""
    reason = kind.default_reason
    retry_after_ms = {Overloaded: 250, errors.Loading: 1000, errors.StoreUnavailable: 1000}.get(kind)
    facts = {"current_revision": "7"} if kind is errors.Conflict else {}
    expected = WireStatus(grpc.StatusCode[code], f"{reason}: a sentence", reason, "", retry_after_ms, facts)
    assert status_of(error(kind)) == expected


def test_an_errors_own_reason_and_field_stand_in_place_of_its_class():
    """Programs branch on the reason, people look for the field."""
    raised = InvalidInput("expected 2 axes, got 3", reason="WRONG_SHAPE", field="x")
    assert status_of(raised) == WireStatus(
        grpc.StatusCode.INVALID_ARGUMENT, "WRONG_SHAPE: expected 2 axes, got 3", "WRONG_SHAPE", "x"
    )


@pytest.mark.parametrize(("seconds", "ms"), [(0.0, 1), (0.0004, 1), (0.0016, 2), (1.5, 1500), (86_400.0, 86_400_000)])
def test_the_time_to_wait_is_never_nothing(seconds: float, ms: int):
    """A caller that comes back at once only adds to the load; 0 would invite it."""
    assert status_of(Overloaded("full", retry_after_s=seconds)).retry_after_ms == ms


@pytest.mark.parametrize("kind", CODES)
def test_the_number_is_that_of_google_rpc(kind: type[ServerError]):
    """CallError carries it as a number."""
    status = status_of(error(kind))
    assert status.number == status.code.value[0]
    assert isinstance(status.number, int)


def test_the_details_name_the_reason():
    """What is no input's fault and cannot be retried has an ErrorInfo and nothing else."""
    status = status_of(ModelFailed("the run failed"))
    assert [key for key, _ in status.trailers()] == ["grpc-status-details-bin"]
    packed, found = details(status)
    assert (packed.code, packed.message) == (13, "MODEL_FAILED: the run failed")
    assert found == [error_details_pb2.ErrorInfo(reason="MODEL_FAILED", domain="serinus")]


def test_the_details_name_the_input_at_fault():
    """A BadRequest with one violation stands beside the ErrorInfo."""
    status = status_of(InvalidInput("expected FP32", reason="WRONG_DTYPE", field="im\nage"))
    packed, found = details(status)
    assert (packed.code, packed.message) == (3, "WRONG_DTYPE: expected FP32")
    violation = error_details_pb2.BadRequest.FieldViolation(field="im\\nage", description="WRONG_DTYPE: expected FP32")
    assert found == [
        error_details_pb2.ErrorInfo(reason="WRONG_DTYPE", domain="serinus"),
        error_details_pb2.BadRequest(field_violations=[violation]),
    ]


def test_an_overload_says_when_to_come_back_in_both_ways():
    """A RetryInfo for programs, and the metadata that gRPC's own retries obey."""
    status = status_of(Overloaded("the queue is full", retry_after_s=1.25))
    assert dict(status.trailers())["grpc-retry-pushback-ms"] == "1250"
    packed, found = details(status)
    assert (packed.code, packed.message) == (8, "OVERLOADED: the queue is full")
    assert found == [
        error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="serinus"),
        error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=250_000_000)),
    ]


def test_an_unforeseen_error_says_where_to_look_and_nothing_else():
    """The text is constant but for the id, which the log repeats."""
    status = internal_error("c0ffee")
    assert status == WireStatus(
        grpc.StatusCode.INTERNAL, "INTERNAL: unexpected error, the server's log names it c0ffee", "INTERNAL"
    )
    packed, found = details(status)
    assert (packed.code, packed.message) == (13, status.message)
    assert found == [error_details_pb2.ErrorInfo(reason="INTERNAL", domain="serinus")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 100 % ~", "plain text, 100 % ~"),
        ("a\r\nb\x00c\x7f", "a\\r\\nb\\x00c\\x7f"),
        ("größe", "gr\\xf6\\xdfe"),
        ("日本", "\\u65e5\\u672c"),
        ("🐤", "\\U0001f424"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_or_a_header_would_obey_is_escaped(text: str, shown: str):
    """Only printable ASCII is left."""
    assert printable(text) == shown


@pytest.mark.parametrize("character", ["x", "\x00", "🐤"])
def test_a_message_is_cut_at_512_characters(character: str):
    """However long what the caller sent was, and however much it grows by being escaped."""
    status = status_of(InvalidInput(character * 100_000, field=character * 100_000))
    assert len(status.message) == 512
    assert status.message.startswith("INVALID_INPUT: ")
    assert status.message.isascii()
    size_bytes = sum(len(key) + len(value) for key, value in status.trailers())
    assert size_bytes < 4096  # a half of what gRPC takes by default


def test_a_conflict_says_what_to_read_again():
    """The current revision stands where programs look for it."""
    _, (info,) = details(status_of(errors.Conflict("the model has changed", current_revision=17)))
    assert info == error_details_pb2.ErrorInfo(
        reason="REVISION_MISMATCH", domain="serinus", metadata={"current_revision": "17"}
    )


def test_a_store_that_is_away_says_when_to_come_back():
    """As an overloaded server does."""
    assert status_of(errors.StoreUnavailable("the database is away", retry_after_s=2)).retry_after_ms == 2000
