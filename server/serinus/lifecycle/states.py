"""What a version is doing, in a word and a reason."""

import dataclasses
import enum

from serinus.core.version import ModelVersion


class ModelState(enum.StrEnum):
    """UNAVAILABLE → LOADING → READY → UNLOADING → UNAVAILABLE; a failed load goes back to UNAVAILABLE.

    What serves is READY, also while it is loaded again or an older load of it is still closing.
    """

    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"


@dataclasses.dataclass(frozen=True, slots=True)
class VersionStatus:
    """What a version is doing.

    Attributes:
        identity: Which version.
        state: Now.
        reason: Why, when that needs saying: the error of a load that failed, "unloaded".
    """

    identity: ModelVersion
    state: ModelState
    reason: str = ""
