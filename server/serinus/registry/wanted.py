"""Which registered versions are to be loaded."""

import enum
from typing import assert_never

from serinus.registry.records import ModelRecord, Placement, VersionRecord


class FollowMode(enum.StrEnum):
    """What decides: FOLLOW: aliases and what somebody loaded by hand. EXPLICIT: only what somebody loaded by hand."""

    FOLLOW = "follow"
    EXPLICIT = "explicit"


def wanted(model: ModelRecord, mode: FollowMode) -> tuple[VersionRecord, ...]:
    """The versions of a model to load, newest number first."""
    named = {version.number for version in model.aliases.values()}
    return tuple(
        record for record in model.versions if _is_wanted(record, mode, is_named=record.identity.number in named)
    )


def _is_wanted(record: VersionRecord, mode: FollowMode, *, is_named: bool) -> bool:
    match record.placement:
        case Placement.LOADED:
            return True
        case Placement.UNLOADED:
            return False
        case Placement.FOLLOW:
            return is_named and mode is FollowMode.FOLLOW
        case _:
            assert_never(record.placement)
