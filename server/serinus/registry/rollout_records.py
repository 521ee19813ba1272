"""What the registry keeps about rollouts, as values: what a rollout is, `rollout` knows, and here it is a document."""

import dataclasses
import datetime as dt
from collections.abc import Mapping

from serinus.core.traffic import TrafficSplit
from serinus.core.version import ModelVersion

Document = Mapping[str, object]
"""What JSON calls an object."""


@dataclasses.dataclass(frozen=True, slots=True)
class RolloutRecord:
    """One rollout, as its journal has it.

    Attributes:
        id: Unique.
        model: Whose calls it moves.
        status: A word of the rollout's.
        is_active: It has not ended; a model has at most one such.
        document: The rollout.
        started_at: UTC.
        revision: Of the registry when it was last written.
    """

    id: str
    model: str
    status: str
    is_active: bool
    document: Document
    started_at: dt.datetime
    revision: int


@dataclasses.dataclass(frozen=True, slots=True)
class RolloutChange:
    """Where a rollout stands from now on, and all that is in force because of it: one transaction.

    Attributes:
        status: A word of the rollout's.
        is_active: It has not ended.
        document: The rollout.
        split: Of its model from now on.
        kept: Versions of its model that stay loaded besides those of the split.
        stable: What the alias `stable` names from now on; None leaves it alone.
        owns: Whether the split stays the rollout's; it never does once the rollout has ended.
        event: What happened, a word.
        reason: Why, a sentence.
        numbers: The evidence.
    """

    status: str
    is_active: bool
    document: Document
    split: TrafficSplit | None
    kept: tuple[ModelVersion, ...]
    stable: ModelVersion | None
    owns: bool
    event: str
    reason: str
    numbers: Document


@dataclasses.dataclass(frozen=True, slots=True)
class JournalEntry:
    """One thing that happened to a rollout.

    Attributes:
        place: Higher than that of every entry before, of all rollouts.
        rollout: Its id.
        model: Its model.
        number: From 1, within the rollout.
        at: UTC.
        actor: Who.
        event: What happened, a word.
        status: Where the rollout stands since.
        reason: Why, a sentence.
        numbers: The evidence.
    """

    place: int
    rollout: str
    model: str
    number: int
    at: dt.datetime
    actor: str
    event: str
    status: str
    reason: str
    numbers: Document


@dataclasses.dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Who controls the rollouts.

    Attributes:
        holder: A server.
        fence: Raised with each new holder.
        beat: Raised by its holder while it lives.
    """

    holder: str
    fence: int
    beat: int
