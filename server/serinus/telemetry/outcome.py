"""The closed lists behind every label that is not a model's name: outcomes, dispatch reasons, refusals."""

import enum


class Outcome(enum.StrEnum):
    """Why a call to a known model ended without an answer."""

    INVALID = "invalid"  # the caller's input is not what the model takes
    SHED = "shed"  # refused while refusing was cheap
    EXPIRED = "expired"  # its deadline passed
    CANCELLED = "cancelled"  # its caller went away
    FAILED = "failed"  # the model or the server failed


class DispatchReason(enum.StrEnum):
    """Why a batch ran when it did."""

    FULL = "full"  # as many rows as are worth running together
    IDLE = "idle"  # a run slot was free
    LINGER = "linger"  # the model's linger was over
    PREFERRED = "preferred"  # a size that the model's configuration prefers
    RERUN = "rerun"  # part of a failed batch, run again to find the poison row


class Refusal(enum.StrEnum):
    """Why a call was refused before it was known to belong to a model.

    The values are the lower-case reasons of `core.errors`, and what has no value of its own counts as OTHER: callers
    choose names and parameters, and must not thereby choose how many series there are.
    """

    ALREADY_EXISTS = "already_exists"
    BAD_MODEL_OUTPUT = "bad_model_output"
    CANCELLED = "cancelled"
    DEADLINE_PASSED = "deadline_passed"
    DRAINING = "draining"
    INTERNAL = "internal"
    INVALID_INPUT = "invalid_input"
    INVALID_MODEL = "invalid_model"
    INVALID_NAME = "invalid_name"
    INVALID_VERSION = "invalid_version"
    MALFORMED = "malformed"
    MODEL_FAILED = "model_failed"
    NOT_FOUND = "not_found"
    NOT_LOADED = "not_loaded"
    OTHER = "other"
    OVERLOADED = "overloaded"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"

    @classmethod
    def of(cls, reason: str) -> "Refusal":
        """The refusal that a reason such as "NOT_FOUND" names."""
        return _REFUSALS.get(reason.lower(), cls.OTHER)


_REFUSALS = {refusal.value: refusal for refusal in Refusal}
