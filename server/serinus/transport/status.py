"""The one table from the program's errors to status codes, and how an error looks on the wire."""

import dataclasses
import functools
import re
from collections.abc import Mapping

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from serinus.core import errors

CODES: dict[type[errors.ServerError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.NotLoaded: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Loading: grpc.StatusCode.UNAVAILABLE,
    errors.Refused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.ModelRejected: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Draining: grpc.StatusCode.UNAVAILABLE,
    errors.StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.StoreFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DataLost: grpc.StatusCode.DATA_LOSS,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.ModelFailed: grpc.StatusCode.INTERNAL,
    errors.BadModelOutput: grpc.StatusCode.INTERNAL,
}

_DOMAIN = "serinus"
_LONGEST_MESSAGE = 512
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


@dataclasses.dataclass(frozen=True, slots=True)
class WireStatus:
    """An error as a caller sees it.

    Attributes:
        code: From `CODES`.
        message: `REASON: sentence`, printable ASCII, at most 512 bytes.
        reason: An UPPER_SNAKE word that programs can branch on.
        field: The input or parameter at fault, or "".
        retry_after_ms: Milliseconds to wait before another try, or None.
        facts: More that programs can read, by name, such as the current revision.
    """

    code: grpc.StatusCode
    message: str
    reason: str
    field: str = ""
    retry_after_ms: int | None = None
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def number(self) -> int:
        """The code as `google.rpc.Code` numbers it."""
        number: int = self.code.value[0]
        return number

    def trailers(self) -> tuple[tuple[str, str | bytes], ...]:
        """`grpc-status-details-bin`, and `grpc-retry-pushback-ms` when the caller may come back."""
        # Serialised messages put end to end are one message with all their details: those of refusals, which are many
        # when there is no time for them, are the same again and again.
        status = status_pb2.Status(code=self.number, message=self.message).SerializeToString()
        if self.facts:
            status += _detail(error_details_pb2.ErrorInfo(reason=self.reason, domain=_DOMAIN, metadata=self.facts))
        else:
            status += _error_info(self.reason)
        if self.field:
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=printable(self.field), description=self.message
            )
            status += _detail(error_details_pb2.BadRequest(field_violations=[violation]))
        if self.retry_after_ms is None:
            return (("grpc-status-details-bin", status),)
        return (
            ("grpc-status-details-bin", status + _retry_info(self.retry_after_ms)),
            ("grpc-retry-pushback-ms", str(self.retry_after_ms)),
        )


def _detail(message: Message) -> bytes:
    """A serialised Status that holds nothing but this detail."""
    status = status_pb2.Status()
    status.details.add().Pack(message)
    return status.SerializeToString()


@functools.lru_cache(maxsize=256)  # as many reasons as the program has, and a few more
def _error_info(reason: str) -> bytes:
    return _detail(error_details_pb2.ErrorInfo(reason=reason, domain=_DOMAIN))


@functools.lru_cache(maxsize=1024)
def _retry_info(retry_after_ms: int) -> bytes:
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(retry_after_ms)
    return _detail(error_details_pb2.RetryInfo(retry_delay=delay))


def status_of(error: errors.ServerError) -> WireStatus:
    """How `error` looks to the caller."""
    retry_after_ms: int | None = None
    if isinstance(error, errors.Overloaded | errors.Loading | errors.StoreUnavailable):
        retry_after_ms = max(1, round(error.retry_after_s * 1000))
    facts = {"current_revision": str(error.current_revision)} if isinstance(error, errors.Conflict) else {}
    return WireStatus(
        code=CODES[type(error)],
        message=printable(f"{error.reason}: {error.message}"),
        reason=error.reason,
        field=error.field,
        retry_after_ms=retry_after_ms,
        facts=facts,
    )


def internal_error(error_id: str) -> WireStatus:
    """How an error that nobody foresaw looks to the caller; the log has the rest under `error_id`."""
    return WireStatus(
        code=grpc.StatusCode.INTERNAL,
        message=f"INTERNAL: unexpected error, the server's log names it {error_id}",
        reason="INTERNAL",
    )


def printable(text: str) -> str:
    """`text` in printable ASCII, control and other characters escaped, at most 512 characters."""
    if len(text) <= _LONGEST_MESSAGE and text.isascii() and text.isprintable():
        return text  # nearly always
    # Cut first as well: a name can be as long as a message, and each character grows at most.
    return _UNPRINTABLE.sub(_escape, text[:_LONGEST_MESSAGE])[:_LONGEST_MESSAGE]


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape", "backslashreplace").decode("ascii")
