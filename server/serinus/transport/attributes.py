"""What callers say of themselves, in the metadata of a call or stream and in the message.

Attributes are for the rules of a split. The routing key, the tenant and the criticality have meanings of their own and
are no attributes: no rule sees them, wherever they are said.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final

from serinus.core.criticality import Criticality
from serinus.core.errors import InvalidInput
from serinus.core.predictor import NO_ATTRIBUTES
from serinus.transport.wire_limits import check_text

MOST_ATTRIBUTES: Final = 16
"""Of one call; each costs the rules a look."""

_PREFIX = "x-serinus-"
_ROUTING_KEY = "routing-key"
_TENANT = "tenant"
_CRITICALITY = "criticality"
_TEXTS = {_ROUTING_KEY: "routing_key", _TENANT: "tenant"}  # fields by name
_CRITICALITIES = {criticality.name.lower(): criticality for criticality in Criticality}
_LONGEST_NAME_BYTES = 64
_LONGEST_VALUE_BYTES = 256
_FIELD = "attributes"


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What the metadata of a call says, or that of a stream of all its calls.

    Attributes:
        routing_key: Of `x-serinus-routing-key`, or "".
        tenant: Of `x-serinus-tenant`, or "".
        criticality: Of `x-serinus-criticality`, or DEFAULT.
        attributes: Of every other `x-serinus-NAME`, by NAME in lower case.
    """

    routing_key: str = ""
    attributes: Mapping[str, str] = dataclasses.field(default_factory=lambda: NO_ATTRIBUTES)
    tenant: str = ""
    criticality: Criticality = Criticality.DEFAULT


NOTHING_SAID: Final = Said()


def said_in(metadata: Iterable[tuple[str, str | bytes]] | None) -> Said:
    """What `metadata` says; most says nothing.

    Raises:
        InvalidInput: a name twice, too many, a criticality that there is not, or a text that nobody could log.
    """
    found: dict[str, str] = {}
    for key, value in metadata or ():
        if key.startswith(_PREFIX):
            _take(found, key, value)
    if not found:
        return NOTHING_SAID
    routing_key, tenant = found.pop(_ROUTING_KEY, ""), found.pop(_TENANT, "")
    named = found.pop(_CRITICALITY, "")
    criticality = criticality_named(f"metadata {_PREFIX + _CRITICALITY!r}", named) if named else Criticality.DEFAULT
    return Said(routing_key, checked(found) if found else NO_ATTRIBUTES, tenant, criticality)


def criticality_named(what: str, name: str) -> Criticality:
    """The criticality of that name.

    Raises:
        InvalidInput: there is none; the message says which there are, and calls the place `what`.
    """
    criticality = _CRITICALITIES.get(name)
    if criticality is None:
        raise InvalidInput(
            f"{what}: expected one of {', '.join(_CRITICALITIES)}, got {name[:32]!r}",
            reason="WRONG_VALUE",
            field=_CRITICALITY,
        )
    return criticality


def checked(attributes: Mapping[str, str]) -> dict[str, str]:
    """Attributes as a rule can look at them.

    Raises:
        InvalidInput: too many, without a name, too long, or with control characters.
    """
    if len(attributes) > MOST_ATTRIBUTES:
        raise InvalidInput(
            f"attributes: expected at most {MOST_ATTRIBUTES}, got {len(attributes)}",
            reason="TOO_MANY_ENTRIES",
            field=_FIELD,
        )
    for name, value in attributes.items():
        check_attribute(_FIELD, name, value)
    return dict(attributes)


def check_attribute(field: str, name: str, value: str) -> None:
    """Refuse what no caller can say of itself.

    Args:
        field: Of the message.
        name: Of the attribute.
        value: Likewise.

    Raises:
        InvalidInput: without a name, too long, or with control characters.
    """
    if not name:
        raise InvalidInput(f"{field}: expected names, got an empty one", reason="MISSING_NAME", field=field)
    check_text(f"{field}: name", name, longest_bytes=_LONGEST_NAME_BYTES, field=field)
    check_text(f"{field}: {name!r}", value, longest_bytes=_LONGEST_VALUE_BYTES, field=field)


def together(said: Mapping[str, str], own: Mapping[str, str]) -> Mapping[str, str]:
    """What the metadata says and what the call says itself, which has precedence.

    Raises:
        InvalidInput: `own` is what `checked` refuses, or there are too many together.
    """
    if not own:
        return said
    return checked({**said, **own})


def _take(found: dict[str, str], key: str, value: str | bytes) -> None:
    name = key.removeprefix(_PREFIX)
    if isinstance(value, bytes):
        raise InvalidInput(
            f"metadata {key[:80]!r}: expected text, got bytes; names that end with -bin hold no text",
            reason="NOT_TEXT",
            field=_FIELD,
        )
    if name in found:
        # Which of the two a proxy would have kept, nobody knows.
        raise InvalidInput(
            f"metadata {key[:80]!r}: expected once, got it again", reason="DUPLICATE_ATTRIBUTE", field=_FIELD
        )
    if name in _TEXTS:
        check_text(f"metadata {key!r}", value, field=_TEXTS[name])
    found[name] = value
