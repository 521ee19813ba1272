"""How many calls may be answered by a fallback, so that a version that is gone does not flood what stands in for it."""

from typing import Final

_FREE_PER_S: Final = 2.0  # a model that is called seldom has its fallback all the same
_MOST_SAVED: Final = 10.0  # a burst of this size floods nothing


class FallbackBudget:
    """Tokens that calls earn and tries spend.

    Over any stretch of time at most `share` of its calls, `_FREE_PER_S` a second and `_MOST_SAVED` are tried.
    """

    __slots__ = ("_saved", "_share", "_updated")

    def __init__(self, share: float, now: float) -> None:
        self._share = share
        self._saved = _MOST_SAVED
        self._updated = now

    def earn(self) -> None:
        """A call has come."""
        if self._saved < _MOST_SAVED:
            self._saved += self._share

    def spend(self, now: float) -> bool:
        """Whether a fallback may be tried now; then it counts as tried."""
        self._saved = min(self._saved + (now - self._updated) * _FREE_PER_S, _MOST_SAVED)
        self._updated = now
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True
