"""What the end of a call says: whose doing it was, and whether another version may do better."""

import dataclasses
from typing import Final

from serinus.core.errors import (
    DeadlinePassed,
    Draining,
    InvalidInput,
    Loading,
    NotFound,
    NotLoaded,
    Overloaded,
    Unsupported,
)
from serinus.core.traffic import Trigger

_TOO_LATE: Final = "TOO_LATE"
"""The reason of Overloaded where the call was refused because its answer was predicted behind its deadline."""


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """A call that its caller did not spoil, and that was not answered.

    Attributes:
        trigger: Why another may answer.
        is_versions: The version failed it, rather than the load or what the server does with the version.
    """

    trigger: Trigger
    is_versions: bool


def failure_of(error: Exception) -> Failure | None:
    """What an error says; None if it is the caller's own doing.

    A refusal is not the version's failure. It says how much there is to do, and the arms of a split have queues of
    different lengths: counted, it would blame the arm with the smaller one. What a slow version does to those that it
    lets in is counted, and a lone call is always let in.
    """
    match error:
        case InvalidInput() | NotFound() | Unsupported():
            return None
        case DeadlinePassed():
            return Failure(Trigger.TIMEOUT, is_versions=True)
        case Overloaded():
            return Failure(Trigger.TIMEOUT if error.reason == _TOO_LATE else Trigger.OVERLOAD, is_versions=False)
        case Draining() | NotLoaded() | Loading():
            return Failure(Trigger.ERROR, is_versions=False)
        case _:
            return Failure(Trigger.ERROR, is_versions=True)
