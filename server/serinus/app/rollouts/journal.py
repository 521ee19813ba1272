"""Keeps rollouts in the registry: what `rollout` decides, in the words in which `registry` writes it down."""

from collections.abc import Mapping, Sequence
from typing import Final

from serinus.core.errors import DataLost, Refused, ServerError
from serinus.core.windows import ServerWindow
from serinus.registry.records import Page
from serinus.registry.rollout_records import LeaseRecord, RolloutChange, RolloutRecord
from serinus.registry.rollouts import RolloutStore
from serinus.rollout.documents import rollout_document, rollout_of
from serinus.rollout.ports import Entry, Lease, Stored
from serinus.rollout.rollout import Effects, Rollout
from serinus.telemetry.logs import get_logger

_MOST_COMPLAINTS: Final = 1000  # if there are so many, the log has said it often enough

log = get_logger("serinus.rollouts")


class RegistryJournal:
    """A `rollout.ports.History` in the registry's database."""

    def __init__(self, store: RolloutStore) -> None:
        self._store = store
        self._unreadable: set[str] = set()

    async def active(self) -> Sequence[Stored]:
        """Rollouts that have not ended, but for those that cannot be read."""
        return self._readable(await self._store.active())

    async def get(self, rollout: str) -> Stored:
        """One."""
        return _stored(await self._store.rollout(rollout))

    async def recent(self, model: str, limit: int) -> Sequence[Stored]:
        """The last rollouts of a model, newest first."""
        return [_stored(record) for record in (await self._store.rollouts(model, limit=limit)).items]

    async def page(self, model: str, *, active: bool, page_token: str, limit: int) -> Page[Stored]:
        """The first `limit` rollouts, newest first, but for those that cannot be read; of one model, or all for ""."""
        found = await self._store.rollouts(model, active=active, page_token=page_token, limit=limit)
        return Page(tuple(self._readable(found.items)), found.next_token)

    async def begin(
        self, rollout: Rollout, effects: Effects, entry: Entry, *, actor: str, expected_revision: int | None
    ) -> Stored:
        """Write a new one."""
        change = _change(rollout, effects, entry)
        return _stored(
            await self._store.begin(rollout.id, rollout.model, change, actor=actor, expected_revision=expected_revision)
        )

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
        change = _change(rollout, effects, entry)
        held = None if lease is None else _record(lease)
        return _stored(
            await self._store.write(rollout.id, change, actor=actor, expected_revision=expected_revision, lease=held)
        )

    async def windows(self, rollout: str) -> Sequence[ServerWindow]:
        """What every server has published last."""
        return await self._store.windows(rollout)

    async def evidence(self, rollout: str) -> Mapping[str, object] | None:
        """What the judge knew last."""
        return await self._store.evidence(rollout)

    async def save_evidence(self, rollout: str, document: Mapping[str, object], *, lease: Lease) -> None:
        """Keep what the judge knows."""
        await self._store.save_evidence(rollout, document, lease=_record(lease))

    async def lease(self) -> Lease | None:
        """Whose it is."""
        return _lease(await self._store.lease())

    async def take_lease(self, holder: str, *, seen: Lease | None) -> Lease | None:
        """Take it from `seen`."""
        return _lease(await self._store.take_lease(holder, seen=None if seen is None else _record(seen)))

    async def beat_lease(self, lease: Lease) -> Lease | None:
        """Say that its holder lives."""
        return _lease(await self._store.beat_lease(_record(lease)))

    async def leave_lease(self, lease: Lease) -> None:
        """Give it back."""
        await self._store.leave_lease(_record(lease))

    def _readable(self, records: Sequence[RolloutRecord]) -> Sequence[Stored]:
        """Those that can be read: one that a newer server wrote, or that is damaged, keeps no other from moving."""
        found = []
        for record in records:
            try:
                found.append(_stored(record))
            except (DataLost, Refused) as error:
                self._complain(record, error)
        return found

    def _complain(self, record: RolloutRecord, error: ServerError) -> None:
        """Log a rollout that cannot be read, once."""
        if record.id in self._unreadable or len(self._unreadable) >= _MOST_COMPLAINTS:
            return
        self._unreadable.add(record.id)
        log.error("rollout left out: it cannot be read", rollout=record.id, model=record.model, reason=error.reason)


def _stored(record: RolloutRecord) -> Stored:
    return Stored(rollout_of(record.document), record.revision)


def _change(rollout: Rollout, effects: Effects, entry: Entry) -> RolloutChange:
    return RolloutChange(
        status=rollout.status.value,
        is_active=not rollout.has_ended,
        document=rollout_document(rollout),
        split=effects.split,
        kept=effects.kept,
        stable=effects.stable,
        owns=effects.owns,
        event=entry.event,
        reason=entry.reason,
        numbers=entry.numbers,
    )


def _lease(record: LeaseRecord | None) -> Lease | None:
    return None if record is None else Lease(record.holder, record.fence, record.beat)


def _record(lease: Lease) -> LeaseRecord:
    return LeaseRecord(lease.holder, lease.fence, lease.beat)
