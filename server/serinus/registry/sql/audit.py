"""How entries of the audit are chained, so that none can be changed, dropped or slipped in unseen."""

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Final

from serinus.registry.records import AuditEntry

NO_HASH: Final = "0" * 64
"""What the first entry names as the hash of the entry before it."""


def canonical_json(value: object) -> str:
    """`value` as JSON in the one way: keys sorted, no spaces, ASCII alone.

    Raises:
        ValueError: it holds NaN or an infinity, which JSON cannot say.
        TypeError: it holds what is no JSON.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def entry_hash(entry: AuditEntry) -> str:
    """SHA-256 in hexadecimal over everything of `entry` but its own `hash`."""
    document = {
        "revision": entry.revision,
        "at": entry.at.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        "actor": entry.actor,
        "action": entry.action,
        "model": entry.model,
        "version": entry.version,
        "before": entry.before,
        "after": entry.after,
        "previous_hash": entry.previous_hash,
    }
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def next_entry(
    head: "Head",
    *,
    at: dt.datetime,
    actor: str,
    action: str,
    model: str,
    version: str,
    before: Mapping[str, object],
    after: Mapping[str, object],
) -> AuditEntry:
    """The entry that follows `head`."""
    entry = AuditEntry(
        revision=head.revision + 1,
        at=at.astimezone(dt.UTC),
        actor=actor,
        action=action,
        model=model,
        version=version,
        before=before,
        after=after,
        previous_hash=head.hash,
        hash="",
    )
    return dataclasses.replace(entry, hash=entry_hash(entry))


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain.

    Attributes:
        revision: Of the last entry; 0 if there is none.
        hash: Of the last entry.
    """

    revision: int
    hash: str


EMPTY: Final = Head(0, NO_HASH)
"""The end of a chain without entries."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verification:
    """What a look at all entries has shown.

    Attributes:
        entries: How many were looked at, up to the first that is broken.
        first_broken: Its revision; 0 if none is.
        problem: What is wrong with it, a sentence; "" if nothing is.
        head: Revision and hash of the last good entry. Kept elsewhere, it shows later that no entries were cut off the
            end, which the chain itself cannot show.
    """

    entries: int
    first_broken: int
    problem: str
    head: Head


def verify(entries: Iterable[AuditEntry]) -> Verification:
    """Look at a whole chain, its first entry first."""
    return verify_on(Verification(0, 0, "", EMPTY), entries)


def verify_on(before: Verification, entries: Iterable[AuditEntry]) -> Verification:
    """Go on where `before` ended, so that a long chain can be looked at in pieces; a broken one stays so."""
    if before.problem:
        return before
    count, head = before.entries, before.head
    for entry in entries:
        count += 1
        if problem := _problem(head, entry):
            return Verification(count, entry.revision, problem, head)
        head = Head(entry.revision, entry.hash)
    return Verification(count, 0, "", head)


def _problem(head: Head, entry: AuditEntry) -> str:
    if entry.revision != head.revision + 1:
        return f"expected entry {head.revision + 1} to follow entry {head.revision}, got entry {entry.revision}"
    if entry.previous_hash != head.hash:
        return f"entry {entry.revision} does not continue entry {head.revision}: one of them was changed or replaced"
    try:
        found = entry_hash(entry)
    except (TypeError, ValueError):
        return f"entry {entry.revision} holds what was never written to an audit"
    if found != entry.hash:
        return f"entry {entry.revision} was changed: its content does not have its hash"
    return ""
