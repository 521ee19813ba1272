"""The registry: what is registered, and every way to change it."""

import datetime as dt
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from serinus.core.errors import InvalidInput
from serinus.core.selector import check_alias
from serinus.core.traffic import FallbackPolicy, TrafficSplit
from serinus.core.version import Version, check_model_name
from serinus.registry.failpoints import Failpoint, pass_by
from serinus.registry.records import (
    AuditEntry,
    Draft,
    ModelRecord,
    Page,
    Placement,
    Registered,
    Snapshot,
    VersionFilter,
    VersionRecord,
)
from serinus.registry.sql import changes, reads, registering, traffic_changes
from serinus.registry.sql.absent import no_model
from serinus.registry.sql.audit import EMPTY, Verification, verify_on
from serinus.registry.sql.database import Database
from serinus.registry.sql.listing import number_before, token_behind, wanted_by
from serinus.registry.sql.usage import read_used_hashes
from serinus.registry.sql.writing import Writing, selected, write_revision

T = TypeVar("T")

_ENTRIES_AT_ONCE = 500
_MOST_ALIASES = 64


class Registry:
    """What is registered; each write is one transaction, one entry of the audit, and one more revision.

    `expected_revision` is the model's revision that the writer has seen: if it is another one by now, Conflict is
    raised and nothing is written; None lets the last writer win. A write that would change nothing writes nothing.
    Every method may raise StoreUnavailable, StoreFull, DataLost or Refused(SCHEMA_NEWER) for the database; a
    StoreUnavailable whose reason is OUTCOME_UNKNOWN leaves open whether the write happened.
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
        return f"<Registry {self._database!r}>"

    async def register(
        self,
        draft: Draft,
        *,
        aliases: Sequence[str] = (),
        actor: str,
        expected_revision: int | None = None,
        based_on: int | None = None,
    ) -> Registered:
        """Register a version; the same bytes and facts again change nothing and succeed, whatever the revision is.

        Args:
            draft: What to register; its files are in the store.
            aliases: To set in the same write; the first version of a model also gets `stable`.
            actor: Who registers it.
            expected_revision: 0 for a model that must not exist yet.
            based_on: The model's revision whose versions the draft was compared with; 0 if there was no model.

        Raises:
            AlreadyExists: the version has other bytes or facts, or was deleted.
            Conflict: the model is at another revision, or a version came or went since `based_on`.
        """
        check_model_name(draft.model)
        wanted = sorted({check_alias(alias) for alias in aliases})
        if len(wanted) > _MOST_ALIASES:
            raise InvalidInput(f"expected at most {_MOST_ALIASES} aliases, got {len(wanted)}", field="aliases")
        return await self._write(
            actor,
            lambda writing: registering.register(
                writing, draft, wanted, expected_revision=expected_revision, based_on=based_on
            ),
        )

    async def set_alias(
        self, model: str, alias: str, selector: str, *, actor: str, expected_revision: int | None = None
    ) -> ModelRecord:
        """Let `alias` name the version that `selector` means now.

        Raises:
            Refused: ROLLOUT_ACTIVE, the alias is `stable`, which a rollout moves.
        """
        check_alias(alias)
        return await self._write_model(
            model, actor, expected_revision, lambda writing, record: changes.set_alias(writing, record, alias, selector)
        )

    async def remove_alias(
        self, model: str, alias: str, *, actor: str, expected_revision: int | None = None
    ) -> ModelRecord:
        """Let `alias` name nothing; NotFound if it does not name anything.

        Raises:
            Refused: ROLLOUT_ACTIVE, the alias is `stable`, which a rollout moves.
        """
        check_alias(alias)
        return await self._write_model(
            model, actor, expected_revision, lambda writing, record: changes.remove_alias(writing, record, alias)
        )

    async def set_tags(
        self,
        model: str,
        selector: str,
        *,
        changed: Mapping[str, str],
        removed: Collection[str] = (),
        actor: str,
        expected_revision: int | None = None,
    ) -> VersionRecord:
        """Set the tags `changed` of a version, and take those of `removed` away that are not among them."""
        changes.check_tags(changed)
        return await self._write_version(
            model,
            selector,
            actor,
            expected_revision,
            lambda writing, version: changes.set_tags(writing, version, changed, removed),
        )

    async def set_notes(
        self, model: str, selector: str, notes: str, *, actor: str, expected_revision: int | None = None
    ) -> VersionRecord:
        """Replace what was added to a version's card, markdown."""
        changes.check_notes(notes)
        return await self._write_version(
            model,
            selector,
            actor,
            expected_revision,
            lambda writing, version: changes.set_notes(writing, version, notes),
        )

    async def archive(
        self, model: str, selector: str, *, actor: str, expected_revision: int | None = None
    ) -> VersionRecord:
        """Hide a version from lists and from selectors that do not name it.

        Raises:
            Refused: IN_USE, calls are sent to it.
        """
        return await self._write_model(
            model,
            actor,
            expected_revision,
            lambda writing, record: changes.archive(writing, record, selected(record, selector)),
        )

    async def restore(
        self, model: str, selector: str, *, actor: str, expected_revision: int | None = None
    ) -> VersionRecord:
        """Bring an archived version back."""
        return await self._write_version(
            model,
            selector,
            actor,
            expected_revision,
            changes.restore,
        )

    async def delete(self, model: str, version: Version, *, actor: str, expected_revision: int | None = None) -> int:
        """Delete a version for good; return the model's revision. One that was deleted before stays so.

        Raises:
            Refused: IN_USE, an alias names it, somebody wants it loaded, or calls are sent to it.
        """
        return await self._write_model(
            model, actor, expected_revision, lambda writing, record: changes.delete(writing, record, version)
        )

    async def place(
        self,
        model: str,
        selector: str | None,
        placement: Placement,
        *,
        actor: str,
        expected_revision: int | None = None,
    ) -> ModelRecord:
        """Decide about serving the version that `selector` means; None stands for all versions."""
        return await self._write_model(
            model,
            actor,
            expected_revision,
            lambda writing, record: changes.place(writing, record, selector, placement),
        )

    async def set_split(
        self, model: str, split: TrafficSplit | None, *, actor: str, expected_revision: int | None = None
    ) -> ModelRecord:
        """Share the model's calls out by hand; None sends all where they always went.

        Raises:
            NotFound: it names a version that is not there.
            Refused: ROLLOUT_ACTIVE, a rollout does; NOT_LOADABLE, somebody unloaded a version that it names.
        """
        return await self._write_model(
            model,
            actor,
            expected_revision,
            lambda writing, record: traffic_changes.set_split(writing, record, split),
        )

    async def set_fallback(
        self, model: str, policy: FallbackPolicy | None, *, actor: str, expected_revision: int | None = None
    ) -> ModelRecord:
        """Let `policy` say who answers when the chosen version cannot; None lets errors be errors.

        Raises:
            InvalidInput: INVALID_FALLBACK, a target cannot stand in for the model, or leads back to it.
        """
        return await self._write_model(
            model,
            actor,
            expected_revision,
            lambda writing, record: traffic_changes.set_fallback(writing, record, policy),
        )

    async def reset_breakers(self, model: str, *, actor: str, expected_revision: int | None = None) -> ModelRecord:
        """Let every server forget what its circuit breakers remember of the model."""
        return await self._write_model(model, actor, expected_revision, traffic_changes.reset_breakers)

    async def note(
        self, action: str, model: str, *, before: Mapping[str, object], after: Mapping[str, object], actor: str
    ) -> None:
        """Write down in the audit what was done to a model that is not registered."""
        await self._write(actor, lambda writing: writing.end(action, model, "", before=before, after=after))

    async def model(self, name: str) -> ModelRecord:
        """The model of that name; NotFound if there is none."""
        record = await self._database.read(lambda connection: reads.read_model(connection, name))
        if record is None:
            raise no_model(name)
        return record

    async def models(self, after_name: str = "", limit: int = 100) -> Sequence[ModelRecord]:
        """The first `limit` models behind `after_name`, by name."""
        return await self._database.read(lambda connection: reads.read_models(connection, after_name, limit))

    async def version(self, model: str, selector: str) -> VersionRecord:
        """The version that `selector` means; NotFound says what there is."""
        return selected(await self.model(model), selector)

    async def versions(
        self, model: str, wanted: VersionFilter, page_token: str = "", limit: int = 100
    ) -> Page[VersionRecord]:
        """The first `limit` versions that are wanted, newest number first; `page_token` is of the page before."""
        is_wanted, before = wanted_by(wanted), number_before(page_token)
        record = await self.model(model)
        found = [each for each in record.versions if each.identity.number < before and is_wanted(each)]
        page = tuple(found[:limit])
        return Page(page, token_behind(page[-1]) if len(found) > len(page) > 0 else "")

    async def snapshot(self) -> Snapshot:
        """Everything, at one revision."""
        return await self._database.read(reads.read_snapshot)

    async def refreshed(self, snapshot: Snapshot) -> Snapshot:
        """What the registry is since `snapshot`: the same object if nothing was written; only changes are read."""
        return await self._database.read(lambda connection: reads.read_refreshed(connection, snapshot))

    async def current_revision(self) -> int:
        """How many writes there were."""
        return (await self._database.read(reads.read_head)).revision

    async def audit(self, after_revision: int, *, model: str = "", limit: int = 100) -> Sequence[AuditEntry]:
        """The first `limit` entries behind `after_revision`, oldest first; of one model, unless that is ""."""
        return await self._database.read(lambda connection: reads.read_audit(connection, after_revision, limit, model))

    async def verify_audit(self) -> Verification:
        """Look at the whole audit, in pieces; a long one takes long and holds nobody up."""
        found = Verification(0, 0, "", EMPTY)
        while not found.problem:
            entries = await self.audit(found.head.revision, limit=_ENTRIES_AT_ONCE)
            if not entries:
                break
            found = verify_on(found, entries)
        return found

    async def used_hashes(self) -> frozenset[str]:
        """The SHA-256 of every file of a version that is not deleted."""
        return await self._database.read(read_used_hashes)

    async def _write(self, actor: str, work: Callable[[Writing], Awaitable[T]]) -> T:
        return await write_revision(self._database, work, now=self._now, actor=actor, reach=self._reach)

    async def _write_model(
        self,
        model: str,
        actor: str,
        expected_revision: int | None,
        work: Callable[[Writing, ModelRecord], Awaitable[T]],
    ) -> T:
        async def write(writing: Writing) -> T:
            return await work(writing, await writing.model(model, expected_revision))

        return await self._write(actor, write)

    async def _write_version(
        self,
        model: str,
        selector: str,
        actor: str,
        expected_revision: int | None,
        work: Callable[[Writing, VersionRecord], Awaitable[VersionRecord]],
    ) -> VersionRecord:
        return await self._write_model(
            model, actor, expected_revision, lambda writing, record: work(writing, selected(record, selector))
        )
