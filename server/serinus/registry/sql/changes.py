"""What can be changed about registered versions: aliases, tags, notes, state and placement."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError

from serinus.config.version_facts import Line, TagName
from serinus.core.errors import InvalidInput, Refused
from serinus.core.selector import STABLE
from serinus.core.version import Version
from serinus.registry.records import ModelRecord, Placement, VersionRecord, VersionState
from serinus.registry.sql import tables
from serinus.registry.sql.absent import no_alias, no_version
from serinus.registry.sql.registering import set_alias_row
from serinus.registry.sql.traffic_changes import check_no_rollout, check_unused
from serinus.registry.sql.writing import Writing, selected

_LONGEST_NOTES = 65_536  # as long as the author's own text for a card
_MOST_TAGS = 64
_TAGS: TypeAdapter[dict[str, str]] = TypeAdapter(dict[TagName, Line])


async def set_alias(writing: Writing, record: ModelRecord, alias: str, selector: str) -> ModelRecord:
    """Let `alias` name the version that `selector` means."""
    to = selected(record, selector).identity
    old = record.aliases.get(alias)
    if old == to:
        return record
    await _check_free(writing, record, alias)
    await set_alias_row(writing, to, alias, is_there=old is not None)
    await writing.end(
        "alias.set",
        record.name,
        to.version_text,
        before={} if old is None else {"alias": alias, "version": old.version_text},
        after={"alias": alias, "version": to.version_text},
    )
    aliases = dict(sorted({**record.aliases, alias: to}.items()))
    return dataclasses.replace(record, aliases=aliases, revision=writing.revision)


async def remove_alias(writing: Writing, record: ModelRecord, alias: str) -> ModelRecord:
    """Let `alias` name nothing."""
    old = record.aliases.get(alias)
    if old is None:
        raise no_alias(record, alias)
    await _check_free(writing, record, alias)
    table = tables.aliases
    this = (table.c.model == record.name) & (table.c.alias == alias)
    await writing.connection.execute(sa.delete(table).where(this))
    await writing.end(
        "alias.remove",
        record.name,
        old.version_text,
        before={"alias": alias, "version": old.version_text},
        after={},
    )
    aliases = {name: version for name, version in record.aliases.items() if name != alias}
    return dataclasses.replace(record, aliases=aliases, revision=writing.revision)


async def set_tags(
    writing: Writing, version: VersionRecord, changed: Mapping[str, str], removed: Collection[str]
) -> VersionRecord:
    """Set the tags `changed`, and take `removed` away."""
    tags = dict(sorted({**{k: v for k, v in version.tags.items() if k not in removed}, **changed}.items()))
    if tags == version.tags:
        return version
    if len(tags) > _MOST_TAGS:
        raise InvalidInput(f"too many tags: expected at most {_MOST_TAGS}, got {len(tags)}", field="tags")
    return await _change(
        writing, "tags.set", version, before={"tags": dict(version.tags)}, after={"tags": tags}, values={"tags": tags}
    )


def check_tags(changed: Mapping[str, str]) -> Mapping[str, str]:
    """Return `changed` if it can be set.

    Raises:
        InvalidInput: a name or a text cannot be a tag.
    """
    try:
        return _TAGS.validate_python(dict(changed))
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise InvalidInput(
            f"invalid tag {name[:64]!r}: expected a name [A-Za-z0-9][A-Za-z0-9._/-]* of at most 64 characters and a"
            " text of at most 512",
            reason="INVALID_TAG",
            field="tags",
        ) from error


async def set_notes(writing: Writing, version: VersionRecord, notes: str) -> VersionRecord:
    """Replace what was added to the card."""
    if notes == version.notes:
        return version
    return await _change(
        writing,
        "notes.set",
        version,
        before={"notes": version.notes} if version.notes else {},
        after={"notes": notes} if notes else {},
        values={"notes": notes},
    )


def check_notes(notes: str) -> str:
    """Return `notes` if they can be kept.

    Raises:
        InvalidInput: they are too long, or hold NUL, which PostgreSQL cannot keep.
    """
    if len(notes) > _LONGEST_NOTES or "\0" in notes:
        raise InvalidInput(
            f"invalid notes: expected at most {_LONGEST_NOTES} characters without NUL, got {len(notes)}",
            field="markdown",
        )
    return notes


async def archive(writing: Writing, record: ModelRecord, version: VersionRecord) -> VersionRecord:
    """Hide a version."""
    if version.state is not VersionState.ARCHIVED:
        await check_unused(writing.connection, record, version)
    return await _set_state(writing, version, VersionState.ARCHIVED)


async def restore(writing: Writing, version: VersionRecord) -> VersionRecord:
    """Bring a version back that was archived."""
    return await _set_state(writing, version, VersionState.ACTIVE)


async def _set_state(writing: Writing, version: VersionRecord, state: VersionState) -> VersionRecord:
    if version.state is state:
        return version
    return await _change(
        writing,
        "version.archive" if state is VersionState.ARCHIVED else "version.restore",
        version,
        before={"state": version.state.value},
        after={"state": state.value},
        values={"state": state},
    )


async def delete(writing: Writing, record: ModelRecord, version: Version) -> int:
    """Delete a version for good; return the model's revision."""
    found = next((each for each in record.versions if each.identity.version == version), None)
    if found is None:
        if await _was_deleted(writing, record.name, version):
            return record.revision
        raise no_version(record, str(version))
    names = sorted(alias for alias, named in record.aliases.items() if named == found.identity)
    if names:
        raise Refused(
            f"{found.identity} is in use: {', '.join(names)} {'names' if len(names) == 1 else 'name'} it",
            reason="IN_USE",
            field="version",
        )
    if found.placement is Placement.LOADED:
        raise Refused(f"{found.identity} is in use: it is to stay loaded", reason="IN_USE", field="version")
    await check_unused(writing.connection, record, found)
    await writing.save_version(found, {"state": VersionState.DELETED.value})
    await writing.end(
        "version.delete",
        record.name,
        found.identity.version_text,
        before={"number": found.identity.number, "digest": found.manifest.digest, "state": found.state.value},
        after={},
    )
    return writing.revision


async def place(writing: Writing, record: ModelRecord, selector: str | None, placement: Placement) -> ModelRecord:
    """Decide about serving the version that `selector` means, or all versions for None."""
    meant = record.versions if selector is None else (selected(record, selector),)
    moving = [each for each in meant if each.placement is not placement]
    if not moving:
        return record
    if placement is Placement.UNLOADED:
        _check_not_rolled_out(record, moving)
    for each in moving:
        await writing.save_version(each, {"placement": placement.value})
    await writing.end(
        "version.place",
        record.name,
        "" if selector is None else moving[0].identity.version_text,
        before={"placements": {each.identity.version_text: each.placement.value for each in moving}},
        after={"placements": {each.identity.version_text: placement.value for each in moving}},
    )
    moved = {
        each.identity.number: dataclasses.replace(each, placement=placement, revision=writing.revision)
        for each in moving
    }
    versions = tuple(moved.get(each.identity.number, each) for each in record.versions)
    return dataclasses.replace(record, versions=versions, revision=writing.revision)


def _check_not_rolled_out(record: ModelRecord, moving: Sequence[VersionRecord]) -> None:
    """Refuse to unload what a rollout gives calls: it would wait for them."""
    given = {version.number for version in record.traffic.versions()} if record.traffic.rollout else set()
    for each in moving:
        if each.identity.number in given:
            raise Refused(
                f"{each.identity} takes part in rollout {record.traffic.rollout}: abort that first",
                reason="ROLLOUT_ACTIVE",
                field="version",
            )


async def _change(
    writing: Writing,
    action: str,
    version: VersionRecord,
    *,
    before: Mapping[str, object],
    after: Mapping[str, object],
    values: Mapping[str, object],
) -> VersionRecord:
    await writing.save_version(version, values)
    await writing.end(action, version.identity.model, version.identity.version_text, before=before, after=after)
    return dataclasses.replace(version, **values, revision=writing.revision)  # type: ignore[arg-type]  # fields by name


async def _check_free(writing: Writing, record: ModelRecord, alias: str) -> None:
    # What a rollout goes by, and what it goes back to, is the rollout's alone to move.
    if alias == STABLE:
        await check_no_rollout(writing.connection, record.name)


async def _was_deleted(writing: Writing, model: str, version: Version) -> bool:
    table = tables.versions
    same_name = (table.c.model == model) & (table.c.version == str(version))
    state = await writing.connection.scalar(sa.select(table.c.state).where(same_name))
    return state == VersionState.DELETED.value
