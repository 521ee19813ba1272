"""What can go wrong with a call, in words.

    ServerError
    ├── InvalidInput        the caller sent something that the model or the protocol does not allow
    ├── NotFound            no such model, version or resource
    ├── AlreadyExists       the name is taken by other content
    ├── NotLoaded           known, but not serving now
    ├── Loading             known, and on its way into memory; carries when to come back
    ├── Refused             what there is does not allow it now: in use, too small a version
    ├── Conflict            somebody else was faster; carries the revision to read again
    ├── ModelRejected       a model file that cannot be served
    ├── Overloaded          refused while refusing is still cheap; carries when to come back
    ├── DeadlinePassed      nobody waits for the answer any more
    ├── Draining            this server is going away; another one will answer
    ├── StoreUnavailable    the registry's database or artifacts cannot be reached now
    ├── StoreFull           there is no room for it
    ├── DataLost            bytes are not those that were registered
    ├── Unsupported         a part of a protocol that is not built
    ├── ModelFailed         the model raised while it ran
    └── BadModelOutput      the model ran and returned something that its signature does not allow

Messages are for the caller: they carry the numbers of the case and never a path, a traceback or another caller's data.
`transport/status.py` maps each class to one status code.
"""

from typing import ClassVar


class ServerError(Exception):
    """A call that ends without an answer, with a sentence that the caller may read.

    Attributes:
        reason: An UPPER_SNAKE word that programs can branch on.
        field: The input, output or parameter at fault, or "".
    """

    default_reason: ClassVar[str]

    def __init__(self, message: str, *, reason: str = "", field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.field = field


class InvalidInput(ServerError):
    """The caller sent something that the model or the protocol does not allow."""

    default_reason = "INVALID_INPUT"


class NotFound(ServerError):
    """There is no model, version or resource of that name."""

    default_reason = "NOT_FOUND"


class AlreadyExists(ServerError):
    """The name is taken by other content."""

    default_reason = "ALREADY_EXISTS"


class NotLoaded(ServerError):
    """The model or version is known but does not serve now."""

    default_reason = "NOT_LOADED"


class Loading(ServerError):
    """The version is being loaded and will serve soon; what needs loading is loaded because of the call.

    Attributes:
        retry_after_s: Seconds after which another try has a chance.
    """

    default_reason = "LOADING"

    def __init__(self, message: str, *, retry_after_s: float = 1.0, reason: str = "", field: str = "") -> None:
        super().__init__(message, reason=reason, field=field)
        self.retry_after_s = retry_after_s


class Refused(ServerError):
    """What there is does not allow the change now; the reason says what stands in its way."""

    default_reason = "REFUSED"


class Conflict(ServerError):
    """Somebody else changed it first; read it again and decide anew.

    Attributes:
        current_revision: Of what was to be changed.
    """

    default_reason = "REVISION_MISMATCH"

    def __init__(self, message: str, *, current_revision: int, reason: str = "", field: str = "") -> None:
        super().__init__(message, reason=reason, field=field)
        self.current_revision = current_revision


class ModelRejected(ServerError):
    """A model file or its configuration cannot be served."""

    default_reason = "INVALID_MODEL"


class Overloaded(ServerError):
    """The call was refused because it could not be answered in time or in memory.

    Attributes:
        retry_after_s: Seconds after which another try has a chance.
    """

    default_reason = "OVERLOADED"

    def __init__(self, message: str, *, retry_after_s: float, reason: str = "", field: str = "") -> None:
        super().__init__(message, reason=reason, field=field)
        self.retry_after_s = retry_after_s


class DeadlinePassed(ServerError):
    """The call's deadline passed before its answer was ready."""

    default_reason = "DEADLINE_PASSED"


class Draining(ServerError):
    """The server or the version is going away."""

    default_reason = "DRAINING"


class StoreUnavailable(ServerError):
    """The registry's database or its artifacts cannot be reached; predictions go on.

    Attributes:
        retry_after_s: Seconds after which another try has a chance.
    """

    default_reason = "STORE_UNAVAILABLE"

    def __init__(self, message: str, *, retry_after_s: float = 1.0, reason: str = "", field: str = "") -> None:
        super().__init__(message, reason=reason, field=field)
        self.retry_after_s = retry_after_s


class StoreFull(ServerError):
    """There is no room on the disk for what was to be kept; nothing of it was."""

    default_reason = "DISK_FULL"


class DataLost(ServerError):
    """Stored bytes are not those that were registered; they are not served."""

    default_reason = "HASH_MISMATCH"


class Unsupported(ServerError):
    """A part of a protocol that this server does not build."""

    default_reason = "UNSUPPORTED"


class ModelFailed(ServerError):
    """The model raised while it ran."""

    default_reason = "MODEL_FAILED"


class BadModelOutput(ServerError):
    """The model ran and returned something that its signature does not allow."""

    default_reason = "BAD_MODEL_OUTPUT"
