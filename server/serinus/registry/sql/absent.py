"""Sentences for what is not there: they say what is."""

from collections.abc import Iterable, Sequence

from serinus.core.errors import NotFound
from serinus.registry.records import ModelRecord, VersionState

_MOST_NAMED = 8


def no_model(name: str) -> NotFound:
    """The error for a model that nobody registered."""
    return NotFound(f"no model {name[:128]!r} is registered", reason="UNKNOWN_MODEL", field="model")


def no_version(record: ModelRecord, selector: str) -> NotFound:
    """The error for a selector that means no version of `record`."""
    known = _listed(each.identity.version_text for each in record.versions if each.state is VersionState.ACTIVE)
    archived = _listed(each.identity.version_text for each in record.versions if each.state is VersionState.ARCHIVED)
    there = [
        sentence
        for sentence, names in (
            ("versions", known),
            ("archived ones", archived),
            ("aliases", _listed(sorted(record.aliases))),
        )
        if names
        for sentence in (f"{sentence} {names}",)
    ]
    has = f"it has {'; '.join(there)}" if there else "it has no versions"
    return NotFound(
        f"no version {selector[:80]!r} of model {record.name!r} is registered: {has}",
        reason="UNKNOWN_VERSION",
        field="version",
    )


def no_alias(record: ModelRecord, alias: str) -> NotFound:
    """The error for an alias that is not set."""
    has = f"it has {_listed(sorted(record.aliases))}" if record.aliases else "it has none"
    return NotFound(f"model {record.name!r} has no alias {alias!r}: {has}", reason="UNKNOWN_ALIAS", field="alias")


def no_rollout(rollout: str) -> NotFound:
    """The error for an id that no rollout has."""
    return NotFound(f"there is no rollout {rollout[:80]!r}", reason="UNKNOWN_ROLLOUT", field="id")


def _listed(names: Iterable[str]) -> str:
    every: Sequence[str] = tuple(names)
    more = f" and {len(every) - _MOST_NAMED} more" if len(every) > _MOST_NAMED else ""
    return ", ".join(every[:_MOST_NAMED]) + more
