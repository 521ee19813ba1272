"""When a call may be tried again, and how long to wait before: a pure rule, a budget, and the wait itself.

What only reads can be repeated, predictions too, so a lost connection may be met by another try. A server that is
overloaded is only tried again when it says when. The budget keeps tries from multiplying the load of a server that is
in trouble.
"""

import dataclasses
import enum
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from serinus_client.errors import Overloaded, SerinusError, Unavailable

_OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"  # the server lost its database while a write was under way

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how fast failed calls are tried again.

    Attributes:
        attempts: Tries of one call, the first included; 1 turns retries off.
        first_wait_s: Upper end of the wait before the second try; it doubles with each further one.
        longest_wait_s: Where the doubling ends.
        budget_ratio: Retries allowed per call, over all calls of the client.
        budget_floor: Retries allowed before any call was made.
        budget_per_s: Retries that come back each second, so that a client with few calls is never without.
        budget_most: Retries that can be saved up: a lost connection ends all of its calls at once.
    """

    attempts: int = 4
    first_wait_s: float = 0.05
    longest_wait_s: float = 2.0
    budget_ratio: float = 0.1
    budget_floor: float = 10.0
    budget_per_s: float = 1.0
    budget_most: float = 1000.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts: expected at least 1, got {self.attempts}")
        if self.budget_floor > self.budget_most:
            raise ValueError(f"budget_floor: expected at most budget_most {self.budget_most}, got {self.budget_floor}")


NO_RETRIES = RetryPolicy(attempts=1)


class Repeat(enum.Enum):
    """Which failed tries of a call may be followed by another."""

    LOST = enum.auto()
    """Also those whose answer was lost: the call reads, or doing it twice is doing it once."""
    REFUSED = enum.auto()
    """Only those that the server refused and asked to come back with. A write whose answer was lost may have been done:
    done again it could undo what somebody else wrote since, or look like a conflict with somebody else when it was this
    caller's own success. Whether to repeat it is for a caller who can look."""


def wait_before_retry(
    policy: RetryPolicy, error: SerinusError, *, failures: int, remaining_s: float, rng: random.Random
) -> float | None:
    """Seconds to wait before the next try, or None to give up.

    Args:
        policy: The numbers.
        error: How the last try ended.
        failures: Tries that have ended so, the last included.
        remaining_s: Seconds until the call's deadline.
        rng: Draws the jitter.
    """
    if failures >= policy.attempts:
        return None
    pushback_s = error.retry_after_s
    if pushback_s is not None and isinstance(error, Overloaded | Unavailable):
        # Never earlier than asked, and not all clients at the same instant.
        wait_s = pushback_s + rng.uniform(0.0, policy.first_wait_s)
    elif isinstance(error, Unavailable):
        wait_s = rng.uniform(0.0, min(policy.longest_wait_s, policy.first_wait_s * 2.0 ** (failures - 1)))
    else:
        return None
    return wait_s if wait_s < remaining_s else None


def _did_nothing(error: SerinusError) -> bool:
    """Whether the server says so: it says when to come back, and not that it does not know how the call ended."""
    return error.retry_after_s is not None and error.reason != _OUTCOME_UNKNOWN


class RetryBudget:
    """Counts how many retries the client may still make: a token bucket that calls and time fill."""

    __slots__ = ("_filled_at", "_most", "_per_s", "_ratio", "_tokens")

    def __init__(self, policy: RetryPolicy, *, now: float) -> None:
        self._tokens = policy.budget_floor
        self._ratio = policy.budget_ratio
        self._most = policy.budget_most
        self._per_s = policy.budget_per_s
        self._filled_at = now

    def count_call(self) -> None:
        """A call begins, and earns a share of a retry."""
        if self._tokens < self._most:
            self._tokens += self._ratio

    def take(self, now: float) -> bool:
        """Take one retry out, if there is one."""
        self._tokens = min(self._most, self._tokens + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Retries:
    """Makes calls, and makes them again where that is allowed.

    Args:
        policy: The numbers.
        rng: Draws the jitter.
        clock: Seconds; the clock of the deadlines that `wait` is given.
        sleep: Waits that many seconds.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        rng: random.Random,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._policy = policy
        self._rng = rng
        self._clock = clock
        self._sleep = sleep
        self._budget = RetryBudget(policy, now=clock())

    async def run(self, attempt: Callable[[], Awaitable[T]], *, deadline: float, repeat: Repeat = Repeat.LOST) -> T:
        """Make a call, as often as the rules allow, and return its answer.

        Args:
            attempt: One try.
            deadline: Time of `clock` after which there is no other.
            repeat: Which failures may be followed by another.

        Raises:
            SerinusError: how the last try ended.
        """
        self._budget.count_call()
        failures = 0
        while True:
            try:
                return await attempt()
            except (Overloaded, Unavailable) as error:
                if repeat is Repeat.REFUSED and not _did_nothing(error):
                    raise
                failures += 1
                await self.wait(error, failures=failures, deadline=deadline)

    async def wait(self, error: SerinusError, *, failures: int, deadline: float) -> None:
        """Wait until the next try is due, or raise `error` if there will be none."""
        now = self._clock()
        wait_s = wait_before_retry(self._policy, error, failures=failures, remaining_s=deadline - now, rng=self._rng)
        if wait_s is None or not self._budget.take(now):
            raise error
        await self._sleep(wait_s)
