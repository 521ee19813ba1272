"""Every way in which a caller can say how long it waits."""

import pytest

from serinus.transport.deadlines import Budgets


@pytest.mark.parametrize(
    ("remaining_s", "timeout_us", "budget_s"),
    [
        (None, 0, 60.0),  # nobody said anything
        (None, 250_000, 0.25),
        (None, 90_000_000, 90.0),  # longer than the default is fine when it is said
        (5.0, 0, 5.0),
        (5.0, 250_000, 0.25),
        (5.0, 9_000_000, 5.0),
        (90.0, 0, 90.0),
        (100_000.0, 0, 3600.0),
        (100_000.0, 50_000_000_000, 3600.0),
        (None, 2**64 - 1, 3600.0),
        (0.0, 0, 0.0),
        (-1.0, 0, -1.0),  # it passed while the message was under way
        (-1.0, 250_000, -1.0),
        (5.0, 1, 0.000001),
    ],
)
def test_the_earliest_of_all_deadlines_counts(remaining_s: float | None, timeout_us: int, budget_s: float):
    """The gRPC deadline, the request's own time-out, and the longest that the operator allows."""
    budgets = Budgets(default_s=60.0, longest_s=3600.0)
    assert budgets.deadline(1000.0, remaining_s, timeout_us) == 1000.0 + budget_s
