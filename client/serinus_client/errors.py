"""What can go wrong with a call, in the server's own words.

    SerinusError
    ├── InvalidInput        what was sent is not allowed; raised before sending where the client can tell
    ├── NotFound            no such model, version or resource
    ├── AlreadyExists       the name is taken by other content
    ├── Refused             what there is does not allow it: in use, too small a version, no good model file
    │   └── NotLoaded       known, but not serving now
    ├── Conflict            somebody else changed it first; `current_revision` says what to read again
    ├── Overloaded          refused early; `retry_after_s` says when to come back
    ├── DeadlineExceeded    the answer was not there in time; also a TimeoutError
    ├── Unavailable         no connection, or the server is going away; also a ConnectionError
    ├── Unauthenticated     the server does not know who calls
    ├── PermissionDenied    it knows, and does not allow it
    ├── Unsupported         the server does not build this
    ├── DataLost            bytes are not those that were registered
    └── ServerFault         the server's or the model's own failure

One table below maps status codes to these classes; a test says that it is total.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, Self

import grpc

from serinus_api.v1 import predict_pb2 as pb
from serinus_client.error_details import DETAILS_KEY, read_facts

PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""Trailing metadata of a refused unary call: milliseconds to wait; anything but a number, or a negative one: never."""

NEVER_S = float("inf")
"""`retry_after_s` of a server that asks not to be tried again."""

_TOO_LARGE = re.compile(r"message larger than max \((\d+) vs\. (\d+)\)")
_REASONED = re.compile(r"([A-Z][A-Z0-9_]{1,63}): (.*)", re.DOTALL)


class SerinusError(Exception):
    """A call that ended without an answer.

    Attributes:
        message: A sentence with the numbers of the case.
        reason: An UPPER_SNAKE word that programs can branch on.
        code: The gRPC status that the call had, or would have had if the client had sent it.
        retry_after_s: Seconds after which another try has a chance; inf: never; None: the server did not say.
        facts: More that programs can read, by name.
    """

    default_reason: ClassVar[str] = "INTERNAL"
    default_code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        code: grpc.StatusCode | None = None,
        retry_after_s: float | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.code = code or self.default_code
        self.retry_after_s = retry_after_s
        self.facts = dict(facts or {})

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"

    def again(self) -> Self:
        """The same error without a traceback, for one more of several callers that one failure ends."""
        return type(self)(
            self.message, reason=self.reason, code=self.code, retry_after_s=self.retry_after_s, facts=self.facts
        )


class InvalidInput(SerinusError):
    """The model or the protocol does not allow what was sent."""

    default_reason = "INVALID_INPUT"
    default_code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(SerinusError):
    """There is no model, version or resource of that name."""

    default_reason = "NOT_FOUND"
    default_code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(SerinusError):
    """The name is taken by other content."""

    default_reason = "ALREADY_EXISTS"
    default_code = grpc.StatusCode.ALREADY_EXISTS


class Refused(SerinusError):
    """What there is does not allow it now; the reason says what stands in its way."""

    default_reason = "REFUSED"
    default_code = grpc.StatusCode.FAILED_PRECONDITION


class NotLoaded(Refused):
    """The model or version is known but does not serve now."""

    default_reason = "NOT_LOADED"


class Conflict(SerinusError):
    """Somebody else changed it first; read it again and decide anew."""

    default_reason = "REVISION_MISMATCH"
    default_code = grpc.StatusCode.ABORTED

    @property
    def current_revision(self) -> int | None:
        """The revision that there is now; None if the server did not say."""
        text = self.facts.get("current_revision", "")
        return int(text) if text.isascii() and text.isdigit() else None


class Overloaded(SerinusError):
    """The server refused the call because it could not have answered it in time or in memory."""

    default_reason = "OVERLOADED"
    default_code = grpc.StatusCode.RESOURCE_EXHAUSTED


class DeadlineExceeded(SerinusError, TimeoutError):
    """The answer was not there when the call's time was up."""

    default_reason = "DEADLINE_PASSED"
    default_code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unavailable(SerinusError, ConnectionError):
    """There is no connection, or the server is going away."""

    default_reason = "UNAVAILABLE"
    default_code = grpc.StatusCode.UNAVAILABLE


class Unauthenticated(SerinusError):
    """The server does not know who calls."""

    default_reason = "UNAUTHENTICATED"
    default_code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(SerinusError):
    """The server knows who calls, and does not allow it."""

    default_reason = "PERMISSION_DENIED"
    default_code = grpc.StatusCode.PERMISSION_DENIED


class Unsupported(SerinusError):
    """The server does not build what was asked for."""

    default_reason = "UNSUPPORTED"
    default_code = grpc.StatusCode.UNIMPLEMENTED


class DataLost(SerinusError):
    """Bytes that were stored or sent are not those that were registered."""

    default_reason = "HASH_MISMATCH"
    default_code = grpc.StatusCode.DATA_LOSS


class ServerFault(SerinusError):
    """The server or the model failed; nothing is wrong with the call."""


BY_CODE: dict[grpc.StatusCode, type[SerinusError]] = {
    # Nobody here cancelled: a server that stops drops calls which it had not looked at.
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.OUT_OF_RANGE: InvalidInput,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
    grpc.StatusCode.INTERNAL: ServerFault,
    grpc.StatusCode.UNKNOWN: ServerFault,
    grpc.StatusCode.DATA_LOSS: DataLost,
    grpc.StatusCode.ABORTED: Conflict,
}
# What shares its code with another error is told apart by its reason.
_BY_REASON: dict[tuple[grpc.StatusCode, str], type[SerinusError]] = {
    (grpc.StatusCode.FAILED_PRECONDITION, NotLoaded.default_reason): NotLoaded,
}
# `StatusCode.value` is (number, name); the wire carries the number.
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def from_status(
    code: grpc.StatusCode,
    text: str,
    *,
    reason: str = "",
    retry_after_s: float | None = None,
    facts: Mapping[str, str] | None = None,
) -> SerinusError:
    """The error for a status whose text may begin with `REASON: `, as the server's texts do."""
    if (match := _REASONED.fullmatch(text)) is not None and reason in {"", match[1]}:
        reason, text = match[1], match[2]
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and (size := _TOO_LARGE.search(text)) is not None:
        # grpc's own refusal: waiting never makes a message shorter.
        text = (
            f"the message has {size[1]} bytes, the server takes {size[2]}: "
            "send fewer rows at once, or start the server with --max-message-mib"
        )
        return InvalidInput(text, reason="MESSAGE_TOO_LARGE", code=code)
    kind = _BY_REASON.get((code, reason)) or BY_CODE.get(code, ServerFault)
    return kind(
        text or "the server gave no message", reason=reason, code=code, retry_after_s=retry_after_s, facts=facts
    )


def from_call_error(error: pb.CallError) -> SerinusError:
    """The error for one call of a frame."""
    retry_after_s = _seconds(error.retry_after_ms) if error.HasField("retry_after_ms") else None
    code = _BY_NUMBER.get(error.code, grpc.StatusCode.UNKNOWN)
    return from_status(code, error.message, reason=error.reason, retry_after_s=retry_after_s)


def from_rpc_error(error: grpc.aio.AioRpcError) -> SerinusError:
    """The error for a unary call, or for a whole stream."""
    retry_after_s = None
    facts: dict[str, str] = {}
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            facts = read_facts(value)
        elif key == PUSHBACK_KEY:
            try:
                retry_after_s = _seconds(int(value))
            except ValueError:
                retry_after_s = NEVER_S
    return from_status(error.code(), error.details() or "", retry_after_s=retry_after_s, facts=facts)


def client_closed() -> Unavailable:
    """The error of a call that its client's end cut short."""
    return Unavailable("the client was closed", reason="CLIENT_CLOSED", retry_after_s=NEVER_S)


def _seconds(pushback_ms: int) -> float:
    return pushback_ms / 1000 if pushback_ms >= 0 else NEVER_S
