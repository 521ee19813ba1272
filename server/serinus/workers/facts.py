"""What is known of the workers from outside."""

import dataclasses
import enum


class WorkerState(enum.StrEnum):
    """What goes on in a worker's place."""

    WAITING = "waiting"
    """Nobody is there: the last one died a moment ago."""
    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"
    """It answers its last calls, and nobody is there to follow it."""


class Company(enum.Enum):
    """What the others do when a worker is told to leave."""

    STAYS = enum.auto()
    """They serve: its clients can be sent to them."""
    LEAVES = enum.auto()
    """They leave as well."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerFacts:
    """One worker's place at one moment.

    Attributes:
        index: From 1.
        pid: Of the process that is there; None while nobody is.
        state: What goes on.
        started_unix_s: When that process was started; 0 while nobody is there.
        restarts: Processes started there after the first.
        last_end: How the one before it ended, such as "signal 11"; "" for none.
    """

    index: int
    pid: int | None
    state: WorkerState
    started_unix_s: float
    restarts: int
    last_end: str


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerEnd:
    """A worker's process that is no more.

    Attributes:
        index: Its place.
        pid: Which it was.
        how: "exit 1" or "signal 11".
        was_told: Whether it was told to leave, or killed for not doing so.
        was_stuck: Whether it said that a run of it does not end.
        record: Descriptor of its `CrashRecord`, to be read now; closed afterwards.
    """

    index: int
    pid: int
    how: str
    was_told: bool
    was_stuck: bool
    record: int


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why a worker has not answered, in a sentence."""

    sentence: str
