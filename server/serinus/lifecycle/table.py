"""Which servable each name means that a call may give: the table that calls read, and never see change."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from serinus.core.errors import InvalidInput
from serinus.core.selector import LATEST, resolve
from serinus.core.version import ModelVersion
from serinus.lifecycle.servable import Servable


def names_of(
    ready: Mapping[int, Servable], asleep: Iterable[ModelVersion], aliases: Mapping[str, ModelVersion]
) -> Mapping[str, Servable]:
    """Servable by everything that means it, but for ranges.

    That is its version, its number, the aliases, `latest`, and "" for `stable` or else the highest.

    Args:
        ready: What serves, by number.
        asleep: Versions that were unloaded to make room. A name that means one of them is left out: no other version
            answers in its place.
        aliases: Version by alias.
    """
    names: dict[str, Servable] = {}
    there = [*(servable.identity for servable in ready.values()), *asleep]
    for name in ("", LATEST, *aliases):
        identity = resolve(name, there, aliases)
        if identity is not None and identity.number in ready:
            names[name] = ready[identity.number]
    for servable in ready.values():
        names[servable.identity.version_text] = servable
        names[servable.identity.number_text] = servable
    return MappingProxyType(names)


def meant(
    selector: str,
    ready: Mapping[int, Servable],
    asleep: Iterable[ModelVersion],
    aliases: Mapping[str, ModelVersion],
) -> ModelVersion | None:
    """The version among `ready` and `asleep` that any selector means, ranges included; None if none is meant."""
    if selector != selector.strip():
        return None  # nothing that was named is to be found under a name that nothing can have
    try:
        return resolve(selector, [*(servable.identity for servable in ready.values()), *asleep], aliases)
    except InvalidInput:
        return None
