"""What is kept of rollouts: where each stands, how it came there, and what servers say of it meanwhile."""

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.version import check_model_name
from serinus.core.windows import ServerWindow
from serinus.registry.failpoints import Failpoint, pass_by
from serinus.registry.records import Page
from serinus.registry.rollout_records import Document, JournalEntry, LeaseRecord, RolloutChange, RolloutRecord
from serinus.registry.sql import leases, rollout_changes, rollout_counts, rollout_reads
from serinus.registry.sql.database import Database
from serinus.registry.sql.writing import Writing, write_revision

T = TypeVar("T")


class RolloutStore:
    """Rollouts in the registry's database.

    `begin` and `write` are writes of the registry: each is one transaction, one entry of the audit and one revision.
    All other writes leave no trace there, and followers of the registry read nothing because of them. Every method may
    raise StoreUnavailable, StoreFull, DataLost or Refused(SCHEMA_NEWER) for the database; a StoreUnavailable whose
    reason is OUTCOME_UNKNOWN leaves open whether a write happened. An unknown rollout is NotFound (UNKNOWN_ROLLOUT).
    """

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], dt.datetime],
        reach: Callable[[Failpoint], None] = pass_by,
    ) -> None:
        self._database = database
        self._now = now
        self._reach = reach

    def __repr__(self) -> str:
        return f"<RolloutStore {self._database!r}>"

    async def begin(
        self, rollout: str, model: str, change: RolloutChange, *, actor: str, expected_revision: int | None = None
    ) -> RolloutRecord:
        """Write a new rollout with the id `rollout`: it, its journal, the model's traffic, and `stable` if it moves.

        Raises:
            NotFound: there is no such model, or not all versions that `change` names.
            Conflict: the model is not at `expected_revision`.
            Refused: ROLLOUT_ACTIVE, the model has one that has not ended; NOT_LOADABLE, somebody unloaded a version.
            AlreadyExists: there was a rollout of that id.
        """

        async def begin(writing: Writing) -> RolloutRecord:
            record = await writing.model(model, expected_revision)
            return await rollout_changes.begin(writing, rollout, record, change)

        return await self._write_revision(actor, begin)

    async def write(
        self, rollout: str, change: RolloutChange, *, actor: str, expected_revision: int, lease: LeaseRecord | None
    ) -> RolloutRecord:
        """Write where a rollout stands now, and all that is in force because of it.

        Args:
            rollout: Its id.
            change: Where it stands.
            actor: Who writes.
            expected_revision: `RolloutRecord.revision` that the writer has seen.
            lease: Of the controller; None for an operator's command.

        Raises:
            Conflict: the rollout is at another revision; LEASE_LOST, another server has the lease by now.
            Refused: ROLLOUT_ENDED, nothing happens to it any more.
            NotFound: a version that the split names is gone.
        """
        return await self._write_revision(
            actor,
            lambda writing: rollout_changes.write(
                writing, rollout, change, expected_revision=expected_revision, lease=lease
            ),
        )

    async def rollout(self, rollout: str) -> RolloutRecord:
        """The rollout of that id."""
        return await self._database.read(lambda connection: rollout_reads.read_rollout(connection, rollout))

    async def newest(self, model: str) -> RolloutRecord | None:
        """The rollout of `model` that started last; None if it never had one."""
        return next(iter((await self.rollouts(check_model_name(model), limit=1)).items), None)

    async def rollouts(
        self, model: str = "", *, active: bool = False, page_token: str = "", limit: int = 100
    ) -> Page[RolloutRecord]:
        """The first `limit` rollouts, newest first.

        Args:
            model: Whose; "" for all.
            active: Whether only those are wanted that have not ended.
            page_token: Of the page before.
            limit: Of the page.
        """
        if model:
            check_model_name(model)
        return await self._database.read(
            lambda connection: rollout_reads.read_page(connection, model, page_token, limit, only_active=active)
        )

    async def active(self) -> Sequence[RolloutRecord]:
        """All that have not ended, the oldest first."""
        return await self._database.read(rollout_reads.read_active)

    async def journal(self, rollout: str) -> Sequence[JournalEntry]:
        """Everything that happened to a rollout, in order."""
        return await self._database.read(lambda connection: rollout_reads.read_journal(connection, rollout))

    async def journal_after(self, place: int, limit: int = 100) -> Sequence[JournalEntry]:
        """The first `limit` entries of all journals behind `place`, in order."""
        return await self._database.read(lambda connection: rollout_reads.read_journal_after(connection, place, limit))

    async def last_place(self) -> int:
        """Of the newest entry of all journals; 0 if there is none."""
        return await self._database.read(rollout_reads.read_last_place)

    async def publish(self, window: ServerWindow) -> None:
        """Replace what its server has published last; ignored if the rollout has ended."""
        await self._write(lambda connection: rollout_counts.publish(connection, window))

    async def windows(self, rollout: str) -> Sequence[ServerWindow]:
        """What every server has published last; () once the rollout has ended."""
        return await self._database.read(lambda connection: rollout_reads.read_windows(connection, rollout))

    async def evidence(self, rollout: str) -> Document | None:
        """What `save_evidence` wrote last; None if nothing."""
        return await self._database.read(lambda connection: rollout_reads.read_evidence(connection, rollout))

    async def save_evidence(self, rollout: str, document: Document, *, lease: LeaseRecord) -> None:
        """Keep what the judge knows; Conflict (LEASE_LOST) if another server has the lease by now."""
        await self._write(lambda connection: rollout_counts.save_evidence(connection, rollout, document, lease))

    async def lease(self) -> LeaseRecord | None:
        """Who controls the rollouts; None if nobody does."""
        return await self._database.read(leases.read_lease)

    async def take_lease(self, holder: str, *, seen: LeaseRecord | None) -> LeaseRecord | None:
        """Take the lease, unless it is not as it was `seen` any more: then None. The fence rises with each holder.

        Args:
            holder: A server, at most 64 characters, another one after each start.
            seen: What `lease` returned, and has not changed for so long that its holder must be dead.
        """
        return await self._write(lambda connection: leases.take_lease(connection, holder, seen))

    async def beat_lease(self, lease: LeaseRecord) -> LeaseRecord | None:
        """Say that the holder lives; None if another server has the lease by now."""
        return await self._write(lambda connection: leases.beat_lease(connection, lease))

    async def leave_lease(self, lease: LeaseRecord) -> None:
        """Give the lease back; ignored if another server has it by now."""
        await self._write(lambda connection: leases.leave_lease(connection, lease))

    async def delivered(self, hook: str) -> int | None:
        """Place of the last entry that `hook` was told; None if it never was told any.

        `hook` is what tells it from others, such as its URL; only a hash of it is kept.
        """
        return await self._database.read(lambda connection: rollout_counts.read_delivered(connection, hook))

    async def mark_delivered(self, hook: str, place: int) -> None:
        """Write down that `hook` was told everything up to `place`; ignored if it was told more."""
        await self._write(lambda connection: rollout_counts.mark_delivered(connection, hook, place))

    async def count_report(self, rollout: str, report_id: str) -> bool:
        """Whether the report counts: it is new, on any server, and the rollout has not ended.

        At most `MOST_REPORTS` are remembered for each rollout, the newest ones.
        """
        return await self._write(lambda connection: rollout_counts.count_report(connection, rollout, report_id))

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return await self._database.write(work, reach=self._reach)

    async def _write_revision(self, actor: str, work: Callable[[Writing], Awaitable[T]]) -> T:
        return await write_revision(self._database, work, now=self._now, actor=actor, reach=self._reach)
