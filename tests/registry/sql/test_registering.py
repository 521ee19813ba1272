"""What registering a version does, and what it refuses."""

import dataclasses
from typing import Any

import pytest

from serinus.config.version_facts import VersionFacts
from serinus.core.errors import AlreadyExists, Conflict, InvalidInput, ServerError
from serinus.core.version import ModelVersion, Version
from serinus.registry.records import Placement, Registered, VersionRecord, VersionState
from serinus.registry.registry import Registry
from tests.registry.databases import clock, database, kind, registry, url
from tests.registry.drafts import Clock, draft, manifest

__all__ = ["clock", "database", "kind", "registry", "url"]


def names(aliases: Any) -> dict[str, str]:
    """Version by alias."""
    return {alias: version.version_text for alias, version in aliases.items()}


async def test_what_was_registered_is_found_as_it_was(registry: Registry, clock: Clock):
    """Every field, as it was answered and as it is read back."""
    new = dataclasses.replace(
        draft("1.2.3", metrics={"accuracy": 0.1 + 0.2}, tags={"team": "örtlich"}, description="a: b\n# c"),
        is_forced=True,
        report={"winner": "dynamic", "rows": [1, 2.5, None]},
    )
    got = await registry.register(new, actor="ann", expected_revision=0)
    expected = VersionRecord(
        identity=ModelVersion("m", Version(1, 2, 3), 1),
        manifest=new.manifest,
        facts=new.facts,
        examination=new.examination,
        change=new.change,
        is_forced=True,
        tags={"team": "örtlich"},
        notes="",
        report={"winner": "dynamic", "rows": [1, 2.5, None]},
        state=VersionState.ACTIVE,
        placement=Placement.FOLLOW,
        created_at=clock.time,
        created_by="ann",
        revision=1,
    )
    assert got == Registered(expected, is_new=True, revision=1)
    assert await registry.version("m", "1.2.3") == expected


async def test_the_first_version_becomes_stable(registry: Registry):
    """And no later one, unless it is asked for."""
    await registry.register(draft("1.0.0"), aliases=["canary"], actor="ann")
    assert names((await registry.model("m")).aliases) == {"canary": "1.0.0", "stable": "1.0.0"}
    await registry.register(draft("1.1.0"), aliases=["canary", "beta"], actor="ann")
    assert names((await registry.model("m")).aliases) == {"beta": "1.1.0", "canary": "1.1.0", "stable": "1.0.0"}
    [_first, second] = await registry.audit(0)
    assert (second.before, second.after["aliases"]) == ({"aliases": {"canary": "1.0.0"}}, ["beta", "canary"])


async def test_numbers_count_up_whatever_the_versions_are(registry: Registry):
    """Each model has its own, and a deleted one is not given again."""
    for version in ("2.0.0", "1.0.0"):
        await registry.register(draft(version), actor="ann")
    await registry.delete("m", Version(1), actor="ann")
    await registry.register(draft("1.0.1"), actor="ann")
    await registry.register(draft("1.0.0", "other"), actor="ann")
    assert [each.identity.number for each in (await registry.model("m")).versions] == [3, 1]
    assert [each.identity.number for each in (await registry.model("other")).versions] == [1]


async def test_the_same_again_changes_nothing(registry: Registry):
    """Whatever revision it expects, and whatever became of the version: it may be a call that is made twice."""
    await registry.register(draft("1.0.0"), actor="ann", expected_revision=0)
    tagged = await registry.set_tags("m", "1.0.0", changed={"a": "b"}, actor="ann")
    again = await registry.register(draft("1.0.0"), aliases=["late"], actor="bob", expected_revision=0, based_on=0)
    assert again == Registered(tagged, is_new=False, revision=2)
    assert await registry.current_revision() == 2


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"manifest": manifest("other bytes")}, "with other files"),
        ({"facts": VersionFacts(author="bob")}, "with the same files and other facts"),
    ],
)
async def test_a_version_never_changes(registry: Registry, other: dict[str, Any], sentence: str):
    """Not its bytes, and not what its author said."""
    before = (await registry.register(draft("1.0.0"), actor="ann")).record
    with pytest.raises(AlreadyExists, match=f"m@1.0.0 is registered {sentence}"):
        await registry.register(dataclasses.replace(draft("1.0.0"), **other), actor="ann")
    assert await registry.version("m", "1.0.0") == before
    assert await registry.current_revision() == 1


async def test_a_deleted_versions_name_stays_taken(registry: Registry):
    """Also for the same bytes: whoever has them cached must not see them come back as something else."""
    for version in ("1.0.0", "1.0.1"):
        await registry.register(draft(version), actor="ann")
    await registry.delete("m", Version(1, 0, 1), actor="ann")
    with pytest.raises(AlreadyExists, match="was deleted, and its name is never used again: choose another number"):
        await registry.register(draft("1.0.1"), actor="ann")


async def test_after_all_were_deleted_the_next_is_a_first_one(registry: Registry):
    """It becomes stable, and its number goes on."""
    await registry.register(draft("1.0.0"), actor="ann")
    await registry.remove_alias("m", "stable", actor="ann")
    await registry.delete("m", Version(1), actor="ann")
    assert (await registry.model("m")).versions == ()
    got = await registry.register(draft("1.0.1"), actor="ann")
    assert got.record.identity.number == 2
    assert names((await registry.model("m")).aliases) == {"stable": "1.0.1"}


async def test_another_revision_than_expected_is_a_conflict(registry: Registry):
    """It says which one there is; nothing is written."""
    await registry.register(draft("1.0.0"), actor="ann")
    for expected in (0, 2):
        with pytest.raises(Conflict, match=f"at revision 1, not at {expected}") as conflict:
            await registry.register(draft("1.0.1"), actor="ann", expected_revision=expected)
        assert conflict.value.current_revision == 1
    with pytest.raises(Conflict) as conflict:
        await registry.register(draft("1.0.0", "new"), actor="ann", expected_revision=1)
    assert conflict.value.current_revision == 0
    assert await registry.current_revision() == 1


@pytest.mark.parametrize(
    "change",
    ["register", "archive", "restore", "delete"],
)
async def test_a_version_that_came_or_went_since_the_comparison_is_a_conflict(registry: Registry, change: str):
    """What was compared may not be what callers have now."""
    await registry.register(draft("1.0.0"), actor="ann")
    await registry.register(draft("1.0.1"), actor="ann")
    if change == "restore":
        await registry.archive("m", "1.0.1", actor="ann")
    looked_at = (await registry.model("m")).revision
    match change:
        case "register":
            await registry.register(draft("1.0.2"), actor="ann")
        case "archive":
            await registry.archive("m", "1.0.1", actor="ann")
        case "restore":
            await registry.restore("m", "1.0.1", actor="ann")
        case "delete":
            await registry.delete("m", Version(1, 0, 1), actor="ann")
    with pytest.raises(Conflict, match="came or went") as conflict:
        await registry.register(draft("1.1.0"), actor="ann", based_on=looked_at)
    assert conflict.value.current_revision == looked_at + 1
    assert (await registry.register(draft("1.1.0"), actor="ann", based_on=looked_at + 1)).is_new


async def test_other_changes_since_the_comparison_do_not_matter(registry: Registry):
    """Aliases, tags, placements and other models."""
    await registry.register(draft("1.0.0"), actor="ann", based_on=0)
    await registry.set_alias("m", "canary", "1.0.0", actor="ann")
    await registry.set_tags("m", "1.0.0", changed={"a": "b"}, actor="ann")
    await registry.place("m", None, Placement.LOADED, actor="ann")
    await registry.register(draft("1.0.0", "other"), actor="ann")
    assert (await registry.register(draft("1.1.0"), actor="ann", based_on=1)).is_new


@pytest.mark.parametrize(
    ("model", "aliases", "actor", "field"),
    [
        ("../etc", [], "ann", "model"),
        ("m", ["latest"], "ann", "alias"),
        ("m", ["1.0"], "ann", "alias"),
        ("m", [], "a\nb", "actor"),
        ("m", [], "a\0b", "actor"),
        ("m", [], "a" * 257, "actor"),
        ("m", [f"a{number}" for number in range(65)], "ann", "aliases"),
    ],
)
async def test_what_cannot_be_a_name_is_refused(
    registry: Registry, model: str, aliases: list[str], actor: str, field: str
):
    """Before anything is written."""
    with pytest.raises(InvalidInput) as refused:
        await registry.register(draft("1.0.0", model), aliases=aliases, actor=actor)
    assert refused.value.field == field
    assert await registry.current_revision() == 0


async def test_a_refused_write_leaves_no_trace(registry: Registry):
    """Also when it fails after its first rows were written."""
    await registry.register(draft("1.0.0"), actor="ann")
    unsayable = dataclasses.replace(draft("1.0.1"), report={"x": float("nan")})
    with pytest.raises(Exception, match="JSON") as failed:
        await registry.register(unsayable, actor="ann")
    assert not isinstance(failed.value, ServerError)
    assert (await registry.register(draft("1.0.1"), actor="ann")).revision == 2
    assert (await registry.verify_audit()).problem == ""
