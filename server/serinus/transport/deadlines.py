"""Folds every way in which a caller can say how long it waits into one moment."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Budgets:
    """How long calls may take.

    Attributes:
        default_s: For a call that says nothing.
        longest_s: For a call that says more than this.
    """

    default_s: float = 60.0
    longest_s: float = 3600.0

    def deadline(self, now: float, remaining_s: float | None, timeout_us: int) -> float:
        """The event-loop time in seconds after which nobody waits.

        Args:
            now: Event-loop time in seconds.
            remaining_s: Until the gRPC deadline, or None if the call has none.
            timeout_us: What the request itself says, or 0.
        """
        if remaining_s is None:
            budget_s = timeout_us / 1e6 if timeout_us else self.default_s
        elif timeout_us:
            budget_s = min(remaining_s, timeout_us / 1e6)
        else:
            budget_s = remaining_s
        return now + min(budget_s, self.longest_s)
