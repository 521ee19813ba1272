"""What servers say of a rollout, in one line each."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from serinus.core.windows import ArmWindow, ServerWindow
from serinus.rollout.judging.evidence import Evidence, fold
from serinus.rollout.rollout import Rollout


def calls(count: int, errors: int = 0, slow: int = 0, invalid: int = 0, **more: Any) -> ArmWindow:
    """Calls of an arm, each of them judged."""
    return ArmWindow(exposures=count, errors=errors, slow=slow, invalid=invalid, trials=count, **more)


def says(
    rollout: Rollout, arms: Mapping[int, ArmWindow] | None = None, /, server: str = "one", **more: Any
) -> ServerWindow:
    """What a server has counted in the segment that the rollout is in."""
    window = ServerWindow(rollout.id, server, beat=1, segment=rollout.segment, revision=1, arms=arms or {})
    return dataclasses.replace(window, **more)


def known(rollout: Rollout, *looks: ServerWindow | Sequence[ServerWindow], at: float = 0.0) -> Evidence:
    """The evidence after looks that found these windows, a second apart; none is a look at nothing."""
    evidence = fold(Evidence(), rollout, (), at)
    for place, look in enumerate(looks):
        evidence = fold(evidence, rollout, [look] if isinstance(look, ServerWindow) else look, at + place)
    return evidence
