"""Which registered versions are to be loaded."""

import contextlib
import enum
from collections.abc import Iterator
from typing import assert_never

from serinus.core.errors import InvalidInput
from serinus.core.traffic import OtherVersion
from serinus.registry.records import ModelRecord, Placement, VersionRecord


class FollowMode(enum.StrEnum):
    """What decides, beside the calls themselves: what they are sent to is loaded in both modes.

    FOLLOW: aliases and what somebody loaded by hand. EXPLICIT: only what somebody loaded by hand.
    """

    FOLLOW = "follow"
    EXPLICIT = "explicit"


def wanted(model: ModelRecord, mode: FollowMode) -> tuple[VersionRecord, ...]:
    """The versions of a model to load, newest number first: those that calls are sent to are among them in any mode."""
    named = set(_numbers_for_calls(model))
    if mode is FollowMode.FOLLOW:
        named |= {version.number for version in model.aliases.values()}
    return tuple(record for record in model.versions if _is_wanted(record, is_named=record.identity.number in named))


def _numbers_for_calls(model: ModelRecord) -> Iterator[int]:
    """Of the versions that the split, its rollout and the model's own fallbacks need."""
    yield from (version.number for version in model.traffic.versions())
    for target in model.traffic.fallback.targets if model.traffic.fallback else ():
        if isinstance(target, OtherVersion) and target.model == model.name:
            # What nobody can mean was refused when it was set; if it is there all the same, no model may suffer.
            with contextlib.suppress(InvalidInput):
                if (found := model.select(target.selector)) is not None:
                    yield found.identity.number


def _is_wanted(record: VersionRecord, *, is_named: bool) -> bool:
    match record.placement:
        case Placement.LOADED:
            return True
        case Placement.UNLOADED:
            return False
        case Placement.FOLLOW:
            return is_named
        case _:
            assert_never(record.placement)
