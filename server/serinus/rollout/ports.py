"""What the controller and the operator's commands need from the rest of the server; `app` plugs it in."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from serinus.core.version import ModelVersion
from serinus.core.windows import ServerWindow
from serinus.rollout.rollout import Effects, Numbers, Rollout


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A rollout as the journal has it.

    Attributes:
        rollout: Where it stands.
        revision: Of the registry when that was written; the next writer must name it.
    """

    rollout: Rollout
    revision: int


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """The right to control rollouts, which one server has at a time.

    Attributes:
        holder: The server.
        fence: Higher than that of every lease before; a write under an older one is refused.
        beat: Raised by its holder, so that others know that it lives.
    """

    holder: str
    fence: int
    beat: int


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a rollout's journal, written in the same transaction as what it says.

    Attributes:
        event: What happened, a word such as "judged" or "pause".
        status: Where the rollout stands since.
        reason: Why, a sentence.
        numbers: The evidence, JSON.
    """

    event: str
    status: str
    reason: str
    numbers: Numbers


class Journal(Protocol):
    """Keeps rollouts. Each write is one transaction with its effects: the split, the alias and the entry.

    All methods may raise StoreUnavailable.
    """

    async def active(self) -> Sequence[Stored]:
        """Rollouts that have not ended."""
        ...

    async def get(self, rollout: str) -> Stored:
        """One; NotFound if there is none."""
        ...

    async def begin(
        self, rollout: Rollout, effects: Effects, entry: Entry, *, actor: str, expected_revision: int | None
    ) -> Stored:
        """Write a new one; Refused (ROLLOUT_ACTIVE) if its model has one, Conflict if the model's revision differs."""
        ...

    async def write(
        self,
        rollout: Rollout,
        effects: Effects,
        entry: Entry,
        *,
        actor: str,
        expected_revision: int,
        lease: Lease | None,
    ) -> Stored:
        """Write where it stands now.

        Args:
            rollout: As it is from now on.
            effects: What is in force from now on.
            entry: Of the journal.
            actor: Who.
            expected_revision: `Stored.revision` of what the writer has seen.
            lease: Of the controller; None for an operator's command.

        Raises:
            Conflict: somebody else has written since; LEASE_LOST if the lease is another server's by now.
        """
        ...

    async def windows(self, rollout: str) -> Sequence[ServerWindow]:
        """What every server has published last."""
        ...

    async def evidence(self, rollout: str) -> Mapping[str, object] | None:
        """What `save_evidence` wrote last, JSON; None if nothing."""
        ...

    async def save_evidence(self, rollout: str, document: Mapping[str, object], *, lease: Lease) -> None:
        """Keep what the judge knows; Conflict (LEASE_LOST) if the lease is another server's by now."""
        ...

    async def lease(self) -> Lease | None:
        """Whose it is; None if nobody's."""
        ...

    async def take_lease(self, holder: str, *, seen: Lease | None) -> Lease | None:
        """Take it from `seen`, who does not beat any more; None if somebody else was faster."""
        ...

    async def beat_lease(self, lease: Lease) -> Lease | None:
        """Say that its holder lives; None if it is another server's by now."""
        ...

    async def leave_lease(self, lease: Lease) -> None:
        """Give it back, so that another server takes it at once."""
        ...


class History(Journal, Protocol):
    """A journal that finds rollouts by their model."""

    async def recent(self, model: str, limit: int) -> Sequence[Stored]:
        """The last rollouts of a model, newest first."""
        ...


class Halts(Protocol):
    """Acts in this server at once; the router does."""

    def halt(self, model: str, versions: Sequence[ModelVersion]) -> None:
        """Send none of them a call by weight any more, before anything is awaited, until another split is applied."""
        ...
