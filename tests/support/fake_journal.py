"""A journal of rollouts in memory, as honest as the real one: compare-and-set, a fenced lease, all or nothing."""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from serinus.core.errors import Conflict, NotFound, Refused
from serinus.core.windows import ServerWindow
from serinus.rollout.documents import rollout_document, rollout_of
from serinus.rollout.ports import Entry, Lease, Stored
from serinus.rollout.rollout import Effects, Rollout


@dataclasses.dataclass(frozen=True)
class Written:
    """One write.

    Attributes:
        rollout: As it is since.
        effects: Since then in force.
        entry: Of the journal.
        actor: Who wrote.
        fence: Of the lease it was written under; None for a person.
    """

    rollout: Rollout
    effects: Effects
    entry: Entry
    actor: str
    fence: int | None


def pass_by(_: str) -> None:
    """Nothing happens here."""


class FakeJournal:
    """Rollouts in memory. Every method gives others a turn first, and does what it does in one go.

    Attributes:
        reach: Called with "METHOD" before a method has done anything and "METHOD done" after; may raise.
        delay: Seconds that the way to the database takes, and the way back.
        steps: What was called, in order, by anybody; tests add their own.
        written: All writes, in order.
        revision: Of the registry.
        stable: Alias by model.
    """

    def __init__(self) -> None:
        self.reach: Callable[[str], None] = pass_by
        self.delay: Callable[[], float] = lambda: 0.0
        self.steps: list[str] = []
        self.written: list[Written] = []
        self.revision = 10
        self.stable: dict[str, str] = {}
        self.holder, self.fence, self.beat = "", 0, 0
        self._rollouts: dict[str, tuple[str, int]] = {}
        self._windows: dict[str, dict[str, ServerWindow]] = {}
        self._evidence: dict[str, str] = {}

    # What tests ask.

    @property
    def events(self) -> list[str]:
        """What has happened, in the journal's words."""
        return [written.entry.event for written in self.written]

    def now(self, rollout: str = "r") -> Rollout:
        """A rollout as it is."""
        return self._stored(rollout).rollout

    def add(self, rollout: Rollout) -> None:
        """Have a rollout that nobody has begun."""
        self._put(rollout)

    def publish(self, window: ServerWindow) -> None:
        """Replace what its server has said."""
        if not self.now(window.rollout).has_ended:
            self._windows.setdefault(window.rollout, {})[window.server] = window

    def spoil_evidence(self, rollout: str = "r") -> None:
        """Let what the judge knew be unreadable."""
        self._evidence[rollout] = '{"evidence": 1, "verdict": null}'

    # What the controller and commands ask.

    async def active(self) -> Sequence[Stored]:
        """Rollouts that have not ended."""
        return await self._do("active", lambda: [each for each in self._all() if not each.rollout.has_ended])

    async def get(self, rollout: str) -> Stored:
        """One."""
        return await self._do("get", lambda: self._stored(rollout))

    async def recent(self, model: str, limit: int) -> Sequence[Stored]:
        """The last ones of a model."""
        return await self._do(
            "recent", lambda: [each for each in reversed(self._all()) if each.rollout.model == model][:limit]
        )

    async def begin(
        self, rollout: Rollout, effects: Effects, entry: Entry, *, actor: str, expected_revision: int | None
    ) -> Stored:
        """Write a new one."""

        def begin() -> Stored:
            if expected_revision not in {None, self.revision}:
                raise Conflict("the model has changed", current_revision=self.revision)
            if any(not each.rollout.has_ended and each.rollout.model == rollout.model for each in self._all()):
                raise Refused("the model has a rollout", reason="ROLLOUT_ACTIVE")
            return self._write(Written(rollout, effects, entry, actor, None))

        return await self._do("begin", begin)

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
        """Write where it stands now."""

        def write() -> Stored:
            self._check(lease)
            before = self._stored(rollout.id)
            if before.revision != expected_revision:
                raise Conflict("somebody has written since", current_revision=before.revision)
            if before.rollout.has_ended:
                raise Refused("it has ended", reason="ROLLOUT_ENDED")
            return self._write(Written(rollout, effects, entry, actor, lease and lease.fence))

        return await self._do("write", write)

    async def windows(self, rollout: str) -> Sequence[ServerWindow]:
        """What servers have said."""
        return await self._do("windows", lambda: list(self._windows.get(rollout, {}).values()))

    async def evidence(self, rollout: str) -> Mapping[str, object] | None:
        """What was saved."""
        return await self._do("evidence", lambda: json.loads(self._evidence.get(rollout, "null")))

    async def save_evidence(self, rollout: str, document: Mapping[str, object], *, lease: Lease) -> None:
        """Keep what the judge knows."""

        def save() -> None:
            self._check(lease)
            self._evidence[rollout] = json.dumps(document, allow_nan=False)

        await self._do("save_evidence", save)

    async def lease(self) -> Lease | None:
        """Whose it is."""
        return await self._do("lease", self._lease)

    async def take_lease(self, holder: str, *, seen: Lease | None) -> Lease | None:
        """Take it from `seen`."""

        def take() -> Lease | None:
            if self._lease() != seen:
                return None
            self.holder, self.fence, self.beat = holder, self.fence + 1, 0
            return self._lease()

        return await self._do("take_lease", take)

    async def beat_lease(self, lease: Lease) -> Lease | None:
        """Say that its holder lives."""

        def beat() -> Lease | None:
            if (self.holder, self.fence) != (lease.holder, lease.fence):
                return None
            self.beat += 1
            return self._lease()

        return await self._do("beat_lease", beat)

    async def leave_lease(self, lease: Lease) -> None:
        """Give it back."""

        def leave() -> None:
            if (self.holder, self.fence) == (lease.holder, lease.fence):
                self.holder = ""

        await self._do("leave_lease", leave)

    async def _do(self, method: str, work: Callable[[], Any]) -> Any:
        self.steps.append(method)
        await asyncio.sleep(self.delay())
        self.reach(method)
        done = work()
        self.reach(f"{method} done")
        await asyncio.sleep(self.delay())
        return done

    def _all(self) -> list[Stored]:
        return [self._stored(rollout) for rollout in self._rollouts]

    def _stored(self, rollout: str) -> Stored:
        if rollout not in self._rollouts:
            raise NotFound("there is no such rollout", reason="UNKNOWN_ROLLOUT")
        text, revision = self._rollouts[rollout]
        return Stored(rollout_of(json.loads(text)), revision)

    def _lease(self) -> Lease | None:
        return Lease(self.holder, self.fence, self.beat) if self.holder else None

    def _check(self, lease: Lease | None) -> None:
        if lease is not None and (self.holder, self.fence) != (lease.holder, lease.fence):
            message = "another server controls the rollouts"
            raise Conflict(message, current_revision=self.revision, reason="LEASE_LOST")

    def _write(self, written: Written) -> Stored:
        json.dumps(written.entry.numbers, allow_nan=False)
        self.written.append(written)
        if written.effects.stable is not None:
            self.stable[written.rollout.model] = str(written.effects.stable.version)
        self._put(written.rollout)
        if written.rollout.has_ended:
            self._windows.pop(written.rollout.id, None)
        return self._stored(written.rollout.id)

    def _put(self, rollout: Rollout) -> None:
        self.revision += 1
        self._rollouts[rollout.id] = json.dumps(rollout_document(rollout), allow_nan=False), self.revision
