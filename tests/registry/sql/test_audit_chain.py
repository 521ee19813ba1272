"""How a change of the audit is found."""

import dataclasses
import datetime as dt
import hashlib

import pytest

from serinus.registry.records import AuditEntry
from serinus.registry.sql.audit import EMPTY, NO_HASH, Head, Verification, canonical_json, next_entry, verify, verify_on

AT = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)


def chain(length: int) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    head = EMPTY
    for number in range(length):
        entries.append(
            next_entry(
                head,
                at=AT,
                actor="ann",
                action="alias.set",
                model="m",
                version="1.0.0",
                before={},
                after={"alias": "stable", "n": number, "share": 0.1},
            )
        )
        head = Head(entries[-1].revision, entries[-1].hash)
    return entries


def test_entries_count_from_one_and_name_the_one_before():
    """The first names zeros."""
    first, second = chain(2)
    assert (first.revision, first.previous_hash) == (1, NO_HASH)
    assert (second.revision, second.previous_hash) == (2, first.hash)


def test_a_hash_stays_what_it_is():
    """Audits outlive programs: another canonical form would break every one that exists."""
    written = (
        '{"action":"alias.set","actor":"ann","after":{"alias":"stable","n":0,"share":0.1},'
        '"at":"2026-01-02T03:04:05.000006+00:00","before":{},"model":"m",'
        f'"previous_hash":"{"0" * 64}","revision":1,"version":"1.0.0"}}'
    )
    assert chain(1)[0].hash == hashlib.sha256(written.encode()).hexdigest()


def test_a_whole_chain_verifies_to_its_head():
    """In one piece or in several."""
    entries = chain(5)
    whole = Verification(5, 0, "", Head(5, entries[-1].hash))
    assert verify(entries) == whole
    assert verify_on(verify(entries[:2]), entries[2:]) == whole
    assert verify([]) == Verification(0, 0, "", EMPTY)


@pytest.mark.parametrize(
    "change",
    [
        {"at": AT + dt.timedelta(microseconds=1)},
        {"actor": "bob"},
        {"action": "alias.remove"},
        {"model": "n"},
        {"version": "1.0.1"},
        {"before": {"alias": "stable"}},
        {"after": {}},
        {"after": {"share": float("nan")}},
        {"hash": "f" * 64},
    ],
)
def test_a_changed_entry_is_named(change):
    """Whatever of it was changed."""
    entries = chain(4)
    entries[1] = dataclasses.replace(entries[1], **change)
    found = verify(entries)
    assert (found.entries, found.first_broken, found.head) == (2, 2, Head(1, entries[0].hash))
    assert "entry 2" in found.problem


def test_a_changed_entry_with_a_hash_that_fits_breaks_the_next():
    """Whoever forges one must forge all that follow."""
    entries = chain(4)
    forged = next_entry(
        Head(1, entries[0].hash),
        at=AT,
        actor="eve",
        action="alias.set",
        model="m",
        version="1.0.0",
        before={},
        after={},
    )
    assert verify([entries[0], forged, *entries[2:]]).problem == (
        "entry 3 does not continue entry 2: one of them was changed or replaced"
    )


def test_a_dropped_entry_is_missed():
    """At the beginning or in the middle; a cut end shows only against a head that was kept."""
    entries = chain(4)
    assert verify(entries[1:]).problem == "expected entry 1 to follow entry 0, got entry 2"
    assert verify([*entries[:1], *entries[2:]]).problem == "expected entry 2 to follow entry 1, got entry 3"
    assert verify(entries[:3]).head != verify(entries).head


def test_what_json_cannot_say_is_refused():
    """It could not be read back as it was."""
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": float("inf")})
    assert canonical_json({"b": "é", "a": [1.0, 1]}) == '{"a":[1.0,1],"b":"\\u00e9"}'
