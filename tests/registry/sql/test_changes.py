"""What can be changed about registered versions, and what each change leaves in the audit."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from serinus.core.errors import Conflict, InvalidInput, NotFound, Refused
from serinus.core.version import Version
from serinus.registry.records import Placement, VersionState
from serinus.registry.registry import Registry
from tests.registry.databases import clock, database, kind, url
from tests.registry.databases import registry as empty_registry
from tests.registry.drafts import draft
from tests.registry.sql.test_registering import names

__all__ = ["clock", "database", "empty_registry", "kind", "url"]


@pytest.fixture
async def registry(empty_registry: Registry) -> Registry:
    """Holds m@1.0.0 (stable) and m@1.1.0; its revision is 2."""
    for version in ("1.0.0", "1.1.0"):
        await empty_registry.register(draft(version, tags={"team": "a"}), actor="ann")
    return empty_registry


async def last_entry(registry: Registry) -> tuple[str, str, str, dict[str, Any], dict[str, Any]]:
    """Of the audit."""
    entry = (await registry.audit(0))[-1]
    return entry.actor, entry.action, entry.version, dict(entry.before), dict(entry.after)


async def test_an_alias_is_set_moved_and_removed(registry: Registry):
    """Each is one revision, and each answer is the model as it is then."""
    made = await registry.set_alias("m", "canary", "latest", actor="bob")
    assert (names(made.aliases), made.revision) == ({"canary": "1.1.0", "stable": "1.0.0"}, 3)
    assert await last_entry(registry) == ("bob", "alias.set", "1.1.0", {}, {"alias": "canary", "version": "1.1.0"})
    moved = await registry.set_alias("m", "canary", "1", actor="bob")
    assert (names(moved.aliases), moved.revision) == ({"canary": "1.0.0", "stable": "1.0.0"}, 4)
    assert await last_entry(registry) == (
        "bob",
        "alias.set",
        "1.0.0",
        {"alias": "canary", "version": "1.1.0"},
        {"alias": "canary", "version": "1.0.0"},
    )
    removed = await registry.remove_alias("m", "canary", actor="bob")
    assert (names(removed.aliases), removed.revision) == ({"stable": "1.0.0"}, 5)
    assert await last_entry(registry) == (
        "bob",
        "alias.remove",
        "1.0.0",
        {"alias": "canary", "version": "1.0.0"},
        {},
    )
    assert await registry.model("m") == removed


async def test_tags_are_added_changed_and_removed(registry: Registry):
    """The version's facts keep the first ones."""
    got = await registry.set_tags(
        "m", "stable", changed={"team": "b", "new": "x"}, removed=["absent", "new"], actor="bob"
    )
    assert (got.tags, got.revision) == ({"new": "x", "team": "b"}, 3)
    assert await last_entry(registry) == (
        "bob",
        "tags.set",
        "1.0.0",
        {"tags": {"team": "a"}},
        {"tags": {"new": "x", "team": "b"}},
    )
    got = await registry.set_tags("m", "stable", changed={}, removed=["new", "team"], actor="bob")
    assert (got.tags, got.facts.tags) == ({}, {"team": "a"})
    assert await registry.version("m", "1.0.0") == got


async def test_notes_are_replaced(registry: Registry):
    """ "" takes them away."""
    got = await registry.set_notes("m", "1.0.0", "# Seen in production\n", actor="bob")
    assert (got.notes, got.revision) == ("# Seen in production\n", 3)
    assert await last_entry(registry) == ("bob", "notes.set", "1.0.0", {}, {"notes": "# Seen in production\n"})
    assert (await registry.set_notes("m", "1.0.0", "", actor="bob")).notes == ""


async def test_an_archived_version_is_found_by_its_own_name_alone(registry: Registry):
    """Until it is restored."""
    archived = await registry.archive("m", "latest", actor="bob")
    assert (archived.identity.version_text, archived.state, archived.revision) == ("1.1.0", VersionState.ARCHIVED, 3)
    assert await last_entry(registry) == (
        "bob",
        "version.archive",
        "1.1.0",
        {"state": "active"},
        {"state": "archived"},
    )
    assert (await registry.version("m", "latest")).identity.version_text == "1.0.0"
    assert await registry.version("m", "1.1.0") == archived
    restored = await registry.restore("m", "1.1.0", actor="bob")
    assert (restored.state, await registry.version("m", "latest")) == (VersionState.ACTIVE, restored)


async def test_a_placement_is_of_one_version_or_of_all(registry: Registry):
    """Those that are placed so already are left alone."""
    one = await registry.place("m", "1.1.0", Placement.LOADED, actor="bob")
    assert [(each.placement, each.revision) for each in one.versions] == [(Placement.LOADED, 3), (Placement.FOLLOW, 1)]
    every = await registry.place("m", None, Placement.LOADED, actor="bob")
    assert [(each.placement, each.revision) for each in every.versions] == [
        (Placement.LOADED, 3),
        (Placement.LOADED, 4),
    ]
    assert await registry.model("m") == every
    assert await last_entry(registry) == (
        "bob",
        "version.place",
        "",
        {"placements": {"1.0.0": "follow"}},
        {"placements": {"1.0.0": "loaded"}},
    )


async def test_a_deleted_version_is_gone(registry: Registry):
    """Its files are not needed any more; deleting it again succeeds."""
    hashes = await registry.used_hashes()
    assert hashes == {draft(version).manifest.files[0].sha256 for version in ("1.0.0", "1.1.0")}
    assert await registry.delete("m", Version(1, 1), actor="bob") == 3
    assert await registry.used_hashes() == hashes - {draft("1.1.0").manifest.files[0].sha256}
    assert (await last_entry(registry))[:3] == ("bob", "version.delete", "1.1.0")
    for selector in ("1.1.0", "2", "^1.1"):
        with pytest.raises(NotFound):
            await registry.version("m", selector)
    assert await registry.delete("m", Version(1, 1), actor="bob") == 3


async def test_a_version_in_use_is_not_deleted(registry: Registry):
    """While an alias names it, or somebody wants it loaded."""
    with pytest.raises(Refused, match=r"m@1\.0\.0 is in use: stable names it") as refused:
        await registry.delete("m", Version(1), actor="bob")
    assert refused.value.reason == "IN_USE"
    await registry.place("m", "1.1.0", Placement.LOADED, actor="bob")
    with pytest.raises(Refused, match=r"m@1\.1\.0 is in use: it is to stay loaded") as refused:
        await registry.delete("m", Version(1, 1), actor="bob")
    assert refused.value.reason == "IN_USE"
    await registry.place("m", "1.1.0", Placement.UNLOADED, actor="bob")
    assert await registry.delete("m", Version(1, 1), actor="bob") == 5


Write = Callable[[Registry, str, int | None], Awaitable[Any]]

WRITES: dict[str, Write] = {
    "set_alias": lambda r, v, e: r.set_alias("m", "canary", v, actor="bob", expected_revision=e),
    "remove_alias": lambda r, _v, e: r.remove_alias("m", "stable", actor="bob", expected_revision=e),
    "set_tags": lambda r, v, e: r.set_tags("m", v, changed={"x": "y"}, actor="bob", expected_revision=e),
    "set_notes": lambda r, v, e: r.set_notes("m", v, "text", actor="bob", expected_revision=e),
    "archive": lambda r, v, e: r.archive("m", v, actor="bob", expected_revision=e),
    "delete": lambda r, v, e: r.delete("m", Version.parse(v), actor="bob", expected_revision=e),
    "place": lambda r, v, e: r.place("m", v, Placement.UNLOADED, actor="bob", expected_revision=e),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_write_with_a_stale_revision_is_refused(registry: Registry, write: Write):
    """And made with the current one."""
    for stale in (0, 1, 3):
        with pytest.raises(Conflict, match=f"model 'm' is at revision 2, not at {stale}") as conflict:
            await write(registry, "1.1.0", stale)
        assert conflict.value.current_revision == 2
    assert await registry.current_revision() == 2
    await write(registry, "1.1.0", 2)
    assert await registry.current_revision() == 3


@pytest.mark.parametrize("name", [name for name in WRITES if name != "remove_alias"])
async def test_a_write_that_changes_nothing_writes_nothing(registry: Registry, name: str):
    """And answers as the one that did."""
    first = await WRITES[name](registry, "1.1.0", None)
    assert await WRITES[name](registry, "1.1.0", None) == first
    assert await registry.current_revision() == 3


async def test_what_is_not_there_is_named_beside_what_is(registry: Registry):
    """A typing mistake shows at once."""
    await registry.archive("m", "1.1.0", actor="bob")
    with pytest.raises(NotFound, match="no model 'n' is registered") as model:
        await registry.set_alias("n", "stable", "1.0.0", actor="bob")
    assert model.value.field == "model"
    with pytest.raises(NotFound) as version:
        await registry.set_alias("m", "stable", "9.0.0", actor="bob")
    assert (version.value.field, version.value.message) == (
        "version",
        "no version '9.0.0' of model 'm' is registered: it has versions 1.0.0; archived ones 1.1.0; aliases stable",
    )
    with pytest.raises(NotFound, match="model 'm' has no alias 'canary': it has stable") as alias:
        await registry.remove_alias("m", "canary", actor="bob")
    assert alias.value.field == "alias"
    with pytest.raises(NotFound, match=r"no version '9\.0\.0'"):
        await registry.delete("m", Version(9), actor="bob")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"": "x"}, "invalid tag ''"),
        ({"-a": "x"}, "invalid tag '-a'"),
        ({"a": "x" * 513}, "invalid tag 'a'"),
        ({f"t{number}": "x" for number in range(64)}, "at most 64, got 65"),
    ],
)
async def test_tags_have_bounds(registry: Registry, changed: dict[str, str], sentence: str):
    """The refusal names the tag."""
    with pytest.raises(InvalidInput, match=sentence):
        await registry.set_tags("m", "1.0.0", changed=changed, actor="bob")


@pytest.mark.parametrize("notes", ["x" * 65_537, "a\0b"])
async def test_notes_have_bounds(registry: Registry, notes: str):
    """Also what only one of the databases could keep is refused by both."""
    with pytest.raises(InvalidInput, match="invalid notes"):
        await registry.set_notes("m", "1.0.0", notes, actor="bob")


async def test_the_audit_keeps_its_own_order_when_the_clock_goes_back(registry: Registry, clock):
    """Times are what the clock said; revisions are the order."""
    clock.time = clock.time.replace(year=2001)
    await registry.set_alias("m", "canary", "1.1.0", actor="bob")
    entries = await registry.audit(0)
    assert [entry.revision for entry in entries] == [1, 2, 3]
    assert [entry.at.year for entry in entries] == [2026, 2026, 2001]
    assert (await registry.verify_audit()).problem == ""


async def test_what_was_done_to_other_models_is_written_down(registry: Registry):
    """An entry of the audit like any other, and no registered model has changed."""
    before = await registry.snapshot()
    await registry.note("model.load", "elsewhere", before={"serving": []}, after={"serving": ["1.0.0"]}, actor="bob")
    assert await last_entry(registry) == ("bob", "model.load", "", {"serving": []}, {"serving": ["1.0.0"]})
    after = await registry.refreshed(before)
    assert (after.revision, after.models) == (before.revision + 1, before.models)
    assert (await registry.verify_audit()).problem == ""
