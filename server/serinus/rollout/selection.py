"""Which version of a rollout is meant."""

from serinus.core.errors import NotFound
from serinus.core.selector import STABLE, resolve
from serinus.core.version import ModelVersion
from serinus.rollout.rollout import Rollout


def selected(rollout: Rollout, selector: str) -> ModelVersion:
    """The version that takes part in `rollout` and that `selector` means: "1.2.0", its number, "stable", a range.

    Raises:
        NotFound: none is meant.
        InvalidInput: none can be meant by such a text.
    """
    versions = (*rollout.candidates, rollout.baseline)
    found = resolve(selector, versions, {STABLE: rollout.baseline})
    if found is None:
        known = ", ".join(version.version_text for version in versions)
        message = f"{selector[:64]!r} takes no part in the rollout: expected one of {known}"
        raise NotFound(message, reason="NOT_A_CANDIDATE", field="version")
    return found
