"""Which servers take part in a rollout: those that live, and those that died."""

import dataclasses
from collections.abc import Collection, Sequence

from serinus.core.windows import ServerWindow
from serinus.rollout.machine.effects import effects
from serinus.rollout.rollout import Rollout


@dataclasses.dataclass(frozen=True, slots=True)
class Census:
    """What the servers of a rollout have said last.

    Attributes:
        living: By those that live.
        dead: By those that died without saying goodbye.
    """

    living: tuple[ServerWindow, ...]
    dead: tuple[ServerWindow, ...]

    @classmethod
    def of(cls, windows: Sequence[ServerWindow], silent: Collection[str]) -> "Census":
        """The census of `windows`, where `silent` have published nothing new for too long."""
        staying = [window for window in windows if not window.has_left]
        return cls(
            tuple(window for window in staying if window.server not in silent),
            tuple(window for window in staying if window.server in silent),
        )

    def is_ready(self, rollout: Rollout) -> bool:
        """Whether every server that lives could serve all versions of it now; False if none lives."""
        needed = {rollout.baseline.number, *(version.number for version in rollout.candidates)}
        return bool(self.living) and all(needed <= window.ready for window in self.living)

    def follows(self, revision: int) -> bool:
        """Whether every server that lives acts by that revision; False if none lives."""
        return bool(self.living) and all(window.revision >= revision for window in self.living)

    def trouble(self, rollout: Rollout) -> str:
        """Why a version that it needs cannot be loaded on a server that lives, a sentence; "" if none is known.

        Where the candidates have all calls, stable is not needed: to go back to it would be worse than anything.
        """
        split = effects(rollout).split
        needs_stable = split is None or split.arms[-1].weight > 0
        for version in (*rollout.candidates, rollout.baseline) if needs_stable else rollout.candidates:
            reasons = [window.failures[version.number] for window in self.living if version.number in window.failures]
            if reasons:
                return f"{version} cannot be loaded on {len(reasons)} of {len(self.living)} servers: {reasons[0]}"
        return ""
