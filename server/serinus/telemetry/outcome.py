"""The closed lists behind every label that is not a model's name: outcomes, dispatch reasons, refusals, decisions."""

import enum


class Outcome(enum.StrEnum):
    """Why a call to a known model ended without an answer."""

    INVALID = "invalid"  # the caller's input is not what the model takes
    SHED = "shed"  # refused while refusing was cheap
    EXPIRED = "expired"  # its deadline passed
    CANCELLED = "cancelled"  # its caller went away
    FAILED = "failed"  # the model or the server failed


class Shed(enum.StrEnum):
    """Why a call to a known model was refused while refusing was cheap.

    The values are the lower-case reasons of the errors; one without a value of its own counts as OTHER.
    """

    BYTES_IN_FLIGHT = "bytes_in_flight"  # no memory for it beside the calls that are in flight
    DRAINING = "draining"  # the version or the server goes away
    EVICTED = "evicted"  # it waited, and a call that was to be preferred took its place
    MEMORY_PRESSURE = "memory_pressure"  # the process is near its memory limit
    OTHER = "other"
    QUEUE_FULL = "queue_full"  # as many calls wait as may
    QUEUE_TIMEOUT = "queue_timeout"  # it waited as long as the model's calls may
    QUEUE_WAIT = "queue_wait"  # it would have waited longer than that
    TENANT_SHARE = "tenant_share"  # the queue is full, and its tenant has its part of it
    TOO_LATE = "too_late"  # its answer would not have come before its deadline

    @classmethod
    def of(cls, reason: str) -> "Shed":
        """What a reason such as "QUEUE_FULL" names."""
        return _SHED.get(reason, cls.OTHER)


class DispatchReason(enum.StrEnum):
    """Why a batch ran when it did."""

    FULL = "full"  # as many rows as are worth running together
    IDLE = "idle"  # a run slot was free
    LINGER = "linger"  # the model's linger was over
    PREFERRED = "preferred"  # a size that the model's configuration prefers
    RERUN = "rerun"  # part of a failed batch, run again to find the poison row


class PairEnd(enum.StrEnum):
    """What became of a copy of a call."""

    SAME = "same"  # both answers count as the same
    DIFFERENT = "different"
    FAILED = "failed"  # the mirrored version failed it
    DROPPED = "dropped"  # never run, because calls had precedence


class BreakerState(enum.StrEnum):
    """What a circuit breaker does."""

    CLOSED = "closed"  # lets calls through
    OPEN = "open"  # lets none through
    HALF_OPEN = "half_open"  # lets a probe through

    @classmethod
    def of(cls, state: str) -> "BreakerState | None":
        """The state of that name, if there is one."""
        return _BREAKER_STATES.get(state)


class Delivery(enum.StrEnum):
    """How a try to tell a webhook something ended."""

    DELIVERED = "delivered"
    FAILED = "failed"  # it is tried again
    DROPPED = "dropped"  # it is not


class RolloutState(enum.StrEnum):
    """Where a rollout stands, in the words of its journal."""

    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"
    FAILING = "failing"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"

    @classmethod
    def of(cls, state: str) -> "RolloutState | None":
        """The state of that name, if there is one."""
        return _ROLLOUT_STATES.get(state)


class RolloutEvent(enum.StrEnum):
    """What happens to a rollout, in the words of its journal; others count as OTHER."""

    STARTED = "started"
    PREPARED = "prepared"
    MEASURED = "measured"
    STAGE = "stage"
    HELD = "held"
    SERVER_LOST = "server_lost"
    FAILING = "failing"
    ROLLED_BACK = "rolled_back"
    SUCCEEDED = "succeeded"
    PAUSED = "paused"
    RESUMED = "resumed"
    PROMOTED = "promoted"
    ABORTED = "aborted"
    OTHER = "other"

    @classmethod
    def of(cls, event: str) -> "RolloutEvent":
        """The event of that name."""
        return _EVENTS.get(event, cls.OTHER)


class Refusal(enum.StrEnum):
    """Why a call was refused before it was known to belong to a model.

    The values are the lower-case reasons of the errors that reading a request and finding its model can end with; one
    without a value of its own counts as OTHER, so that no code elsewhere can add a series.
    """

    ALREADY_EXISTS = "already_exists"
    BAD_MODEL_OUTPUT = "bad_model_output"
    CONTROL_CHARACTER = "control_character"
    DEADLINE_PASSED = "deadline_passed"
    DISK_FULL = "disk_full"
    DRAINING = "draining"
    DUPLICATE_CALL_ID = "duplicate_call_id"
    DUPLICATE_INPUT = "duplicate_input"
    HASH_MISMATCH = "hash_mismatch"
    INVALID_INPUT = "invalid_input"
    INVALID_MODEL = "invalid_model"
    INVALID_NAME = "invalid_name"
    INVALID_VERSION = "invalid_version"
    LOADING = "loading"
    MALFORMED_REQUEST = "malformed_request"
    MODEL_FAILED = "model_failed"
    MUST_BE_RAW = "must_be_raw"
    NEGATIVE_LENGTH = "negative_length"
    NOT_CLASSES = "not_classes"
    NOT_FOUND = "not_found"
    NOT_LOADED = "not_loaded"
    OTHER = "other"
    OUT_OF_RANGE = "out_of_range"
    OVERLOADED = "overloaded"
    RAW_AND_TYPED = "raw_and_typed"
    REFUSED = "refused"
    RESERVED_PARAMETER = "reserved_parameter"
    REVISION_MISMATCH = "revision_mismatch"
    SHAPE_TOO_LARGE = "shape_too_large"
    STORE_UNAVAILABLE = "store_unavailable"
    TEXT_TOO_LONG = "text_too_long"
    TOO_MANY_AXES = "too_many_axes"
    TOO_MANY_ELEMENTS = "too_many_elements"
    TOO_MANY_ENTRIES = "too_many_entries"
    TOO_MANY_INPUTS = "too_many_inputs"
    UNKNOWN_DTYPE = "unknown_dtype"
    UNSUPPORTED = "unsupported"
    WRONG_CONTENTS = "wrong_contents"
    WRONG_PARAMETER = "wrong_parameter"
    WRONG_RAW_COUNT = "wrong_raw_count"
    WRONG_SIZE = "wrong_size"
    WRONG_VALUE = "wrong_value"

    @classmethod
    def of(cls, reason: str) -> "Refusal":
        """The refusal that a reason such as "NOT_FOUND" names."""
        return _REFUSALS.get(reason.lower(), cls.OTHER)


_BREAKER_STATES = {state.value: state for state in BreakerState}
_ROLLOUT_STATES = {state.value: state for state in RolloutState}
_EVENTS = {event.value: event for event in RolloutEvent}
_SHED = {shed.value.upper(): shed for shed in Shed}
_REFUSALS = {refusal.value: refusal for refusal in Refusal}
