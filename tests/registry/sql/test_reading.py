"""What is read of the registry: models, versions by filter, snapshots, the audit."""

import dataclasses

import pytest
import sqlalchemy as sa

from serinus.core.errors import InvalidInput, NotFound
from serinus.core.version import Version
from serinus.registry.records import MetricBound, ModelRecord, Placement, Snapshot, VersionFilter
from serinus.registry.registry import Registry
from serinus.registry.sql.audit import Head, Verification, next_entry
from serinus.registry.sql.database import Database
from serinus.registry.sql.rows import audit_values
from serinus.registry.sql.tables import audit, versions
from tests.registry.databases import clock, database, kind, registry, url
from tests.registry.drafts import draft

__all__ = ["clock", "database", "kind", "registry", "url"]


async def test_models_are_listed_by_name_in_pages(registry: Registry):
    """By the bytes of their names, whatever language the database speaks."""
    for name in ("b", "a-b", "a.b", "a_b", "a0"):
        await registry.register(draft("1.0.0", name), actor="ann")
    first = await registry.models(limit=3)
    rest = await registry.models(first[-1].name, 3)
    assert [model.name for model in (*first, *rest)] == ["a-b", "a.b", "a0", "a_b", "b"]
    assert first[0] == await registry.model("a-b")
    assert await registry.models("b") == ()


async def test_an_unknown_model_is_named(registry: Registry):
    """In every read."""
    for reading in (registry.model("x"), registry.version("x", ""), registry.versions("x", VersionFilter())):
        with pytest.raises(NotFound, match="no model 'x' is registered"):
            await reading


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (VersionFilter(), ["2.0.0", "1.1.0", "1.0.0"]),
        (VersionFilter(range="^1.0"), ["1.1.0", "1.0.0"]),
        (VersionFilter(tags={"team": "b"}), ["2.0.0", "1.1.0"]),
        (VersionFilter(tags={"team": "b", "kind": "x"}), ["2.0.0"]),
        (VersionFilter(framework="PyTorch"), ["1.1.0", "1.0.0"]),
        (VersionFilter(metrics=[MetricBound("accuracy", at_least=0.9)]), ["2.0.0", "1.1.0"]),
        (VersionFilter(metrics=[MetricBound("accuracy", at_least=0.9, at_most=0.9)]), ["1.1.0"]),
        (VersionFilter(metrics=[MetricBound("loss")]), ["2.0.0"]),
        (VersionFilter(range="^1", tags={"team": "b"}, framework="pytorch 2"), ["1.1.0"]),
        (VersionFilter(has_archived=True), ["2.0.0", "1.2.0", "1.1.0", "1.0.0"]),
        (VersionFilter(range="1.2.x"), []),
    ],
)
async def test_versions_are_filtered(registry: Registry, wanted: VersionFilter, found: list[str]):
    """All that is said must hold; newest number first."""
    facts = [
        ("1.0.0", {"framework": "PyTorch 1.13", "metrics": {"accuracy": 0.8}, "tags": {"team": "a"}}),
        ("1.1.0", {"framework": "pytorch 2.9", "metrics": {"accuracy": 0.9}, "tags": {"team": "b"}}),
        ("1.2.0", {}),
        (
            "2.0.0",
            {"framework": "jax", "metrics": {"accuracy": 0.95, "loss": 1.0}, "tags": {"team": "b", "kind": "x"}},
        ),
    ]
    for version, said in facts:
        await registry.register(draft(version, **said), actor="ann")
    await registry.archive("m", "1.2.0", actor="ann")
    page = await registry.versions("m", wanted)
    assert ([each.identity.version_text for each in page.items], page.next_token) == (found, "")


async def test_versions_come_in_pages(registry: Registry):
    """What is registered or deleted between two pages neither repeats nor hides another one."""
    for patch in range(5):
        await registry.register(draft(f"1.0.{patch}"), actor="ann")
    first = await registry.versions("m", VersionFilter(), limit=2)
    await registry.register(draft("1.0.5"), actor="ann")
    await registry.delete("m", Version(1, 0, 3), actor="ann")
    second = await registry.versions("m", VersionFilter(), first.next_token, 2)
    third = await registry.versions("m", VersionFilter(), second.next_token, 2)
    pages = [[each.identity.number for each in page.items] for page in (first, second, third)]
    assert (pages, third.next_token) == ([[5, 4], [3, 2], [1]], "")


@pytest.mark.parametrize("token", ["x", "-1", "12345678901", "1.5", "٣"])
async def test_a_token_that_no_page_gave_is_refused(registry: Registry, token: str):
    """It names the field."""
    await registry.register(draft("1.0.0"), actor="ann")
    with pytest.raises(InvalidInput) as refused:
        await registry.versions("m", VersionFilter(), token)
    assert refused.value.field == "page_token"


async def test_a_refreshed_snapshot_is_a_new_one(registry: Registry):
    """After whatever changed; and the very same object when nothing did."""
    snapshot = await registry.snapshot()
    assert snapshot == Snapshot(0, {}, "")
    assert await registry.refreshed(snapshot) is snapshot
    for model in ("m", "n"):
        for version in ("1.0.0", "1.1.0"):
            await registry.register(draft(version, model), actor="ann")
    writes = [
        registry.set_alias("m", "canary", "latest", actor="bob"),
        registry.set_tags("n", "1.0.0", changed={"a": "b"}, actor="bob"),
        registry.place("m", None, Placement.LOADED, actor="bob"),
        registry.remove_alias("m", "canary", actor="bob"),
        registry.place("m", "1.1.0", Placement.FOLLOW, actor="bob"),
        registry.archive("m", "1.1.0", actor="bob"),
        registry.delete("m", Version(1, 1), actor="bob"),
        registry.register(draft("1.0.0", "o"), actor="bob"),
    ]
    for write in writes:
        await write
        refreshed = await registry.refreshed(snapshot)
        assert refreshed == await registry.snapshot() != snapshot
        assert refreshed.revision == (await registry.audit(0, limit=100))[-1].revision
        snapshot = refreshed
    assert await registry.refreshed(snapshot) is snapshot


async def test_a_refresh_reads_what_changed_alone(registry: Registry):
    """The other models are the same objects, and so are the changed model's other versions."""
    for model in ("m", "n"):
        for version in ("1.0.0", "1.1.0"):
            await registry.register(draft(version, model), actor="ann")
    old = await registry.snapshot()
    await registry.set_tags("m", "1.1.0", changed={"a": "b"}, actor="bob")
    new = await registry.refreshed(old)
    assert new.models["n"] is old.models["n"]
    assert new.models["m"].version[1] is old.models["m"].version[1]
    assert new.models["m"].version[2].tags == {"a": "b"}


async def test_many_versions_are_read_in_pieces(registry: Registry, database: Database):
    """More than one piece holds, of several models."""
    for model in ("m", "n"):
        await registry.register(draft("1.0.0", model), actor="ann")

    async def copy(connection) -> None:
        for model in ("m", "n"):
            row = (await connection.execute(sa.select(versions).where(versions.c.model == model))).one()
            values = [{**row._asdict(), "number": number, "version": f"1.0.{number}"} for number in range(2, 252)]
            await connection.execute(sa.insert(versions), values)

    await database.write(copy)
    snapshot = await registry.snapshot()
    assert {name: len(model.versions) for name, model in snapshot.models.items()} == {"m": 251, "n": 251}
    assert snapshot.models["m"] == await registry.model("m")
    assert len(await registry.used_hashes()) == 2


async def test_a_row_that_cannot_be_read_harms_no_other(registry: Registry, database: Database):
    """Its version is as it was when it could be read; where it never was, it is left out."""
    for version in ("1.0.0", "1.1.0"):
        await registry.register(draft(version), actor="ann")
    known = await registry.snapshot()
    spoil = sa.update(versions).where(versions.c.number == 1).values(facts="no_such_key: 1")
    await database.write(lambda connection: connection.execute(spoil))
    await registry.set_tags("m", "1.1.0", changed={"a": "b"}, actor="bob")

    def numbers(model: ModelRecord) -> list[int]:
        return [each.identity.number for each in model.versions]

    assert numbers((await registry.refreshed(known)).models["m"]) == [2, 1]
    assert (numbers((await registry.snapshot()).models["m"])) == [2]
    assert (await registry.model("m")).aliases == {}


async def test_a_registry_that_lost_writes_is_read_anew(registry: Registry):
    """Also when it has as many again: the revision alone would not show it."""
    for version in ("1.0.0", "1.1.0"):
        await registry.register(draft(version), actor="ann")
    known = await registry.snapshot()
    other = dataclasses.replace(known, head="0" * 64)
    assert await registry.refreshed(other) == known
    later = dataclasses.replace(known, revision=7, models={})
    assert await registry.refreshed(later) == known
    assert await registry.refreshed(Snapshot(1, {}, "0" * 64)) == known


async def test_the_audit_is_read_from_a_revision_on(registry: Registry):
    """Of all models or of one."""
    for model in ("m", "n", "m", "n"):
        count = await registry.current_revision()
        await registry.register(draft(f"1.0.{count}", model), actor="ann")
    assert [entry.revision for entry in await registry.audit(1)] == [2, 3, 4]
    assert [entry.revision for entry in await registry.audit(1, limit=2)] == [2, 3]
    assert [entry.revision for entry in await registry.audit(1, model="n")] == [2, 4]


@pytest.mark.parametrize("revision", [2**31, 2**63 - 1, 2**63, 2**64 - 1])
async def test_nothing_is_behind_a_revision_that_no_database_reaches(registry: Registry, revision: int):
    """Callers may send any number that fits on the wire."""
    await registry.register(draft("1.0.0"), actor="ann")
    assert await registry.audit(revision) == []


async def test_a_tampered_row_of_the_audit_is_found(registry: Registry, database: Database):
    """By its revision."""
    for version in ("1.0.0", "1.0.1", "1.0.2"):
        await registry.register(draft(version), actor="ann")
    entries = await registry.audit(0)
    assert await registry.verify_audit() == Verification(3, 0, "", Head(3, entries[2].hash))
    tamper = sa.update(audit).where(audit.c.revision == 2).values(actor="eve")
    await database.write(lambda connection: connection.execute(tamper))
    assert await registry.verify_audit() == Verification(
        2, 2, "entry 2 was changed: its content does not have its hash", Head(1, entries[0].hash)
    )
    remove = sa.delete(audit).where(audit.c.revision == 2)
    await database.write(lambda connection: connection.execute(remove))
    assert (await registry.verify_audit()).problem == "expected entry 2 to follow entry 1, got entry 3"


async def test_a_long_audit_is_verified_in_pieces(registry: Registry, database: Database):
    """To its end."""
    await registry.register(draft("1.0.0"), actor="ann")
    [entry] = await registry.audit(0)
    entries = []
    for _ in range(1200):
        head = Head(entry.revision, entry.hash)
        entry = next_entry(
            head, at=entry.at, actor="ann", action="notes.set", model="m", version="1.0.0", before={}, after={}
        )
        entries.append(audit_values(entry))
    await database.write(lambda connection: connection.execute(sa.insert(audit), entries))
    assert await registry.verify_audit() == Verification(1201, 0, "", Head(1201, entry.hash))
