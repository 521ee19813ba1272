"""How long to wait before a worker that died is started again: a rule, without a clock."""

import dataclasses
from typing import Self


@dataclasses.dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The numbers of the rule.

    Attributes:
        first_wait_s: Before the start after a first death.
        longest_wait_s: Where doubling ends; a worker that lived for longer than this has proved itself.
    """

    first_wait_s: float
    longest_wait_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Streak:
    """Deaths that came soon after each other in one worker's place."""

    deaths: int = 0

    def after_death(self, policy: RestartPolicy, *, lived_s: float) -> Self:
        """The streak with one more death, of a process that lived for so long."""
        has_proved_itself = lived_s > policy.longest_wait_s
        return dataclasses.replace(self, deaths=1 if has_proved_itself else self.deaths + 1)

    def wait_s(self, policy: RestartPolicy) -> float:
        """Seconds until the next start."""
        if self.deaths == 0:
            return 0.0
        # The exponent is bounded, because floats are.
        return min(policy.longest_wait_s, policy.first_wait_s * 2.0 ** min(self.deaths - 1, 64))
