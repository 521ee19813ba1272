"""A fallback is asked for a share of the calls, however many of them need one."""

from hypothesis import given
from hypothesis import strategies as st

from serinus.serving.fallback.budget import FallbackBudget

times = st.lists(st.floats(0, 0.5), max_size=200)


def tried(budget: FallbackBudget, *, calls: int, at: float) -> int:
    """How many of so many calls, all of which need it, are let through."""
    found = 0
    for _ in range(calls):
        budget.earn()
        found += budget.spend(at)
    return found


def test_a_crowd_gets_its_share():
    """And ten to begin with."""
    assert tried(FallbackBudget(0.1, 0.0), calls=1000, at=0.0) in range(109, 112)


def test_a_model_that_is_called_seldom_has_its_fallback():
    """Two calls a second, whatever the share."""
    budget = FallbackBudget(0.01, 0.0)
    assert sum(tried(budget, calls=1, at=second / 2) for second in range(1000)) == 1000


def test_a_share_of_everything_lets_everything_through():
    """Somebody said so."""
    assert tried(FallbackBudget(1.0, 0.0), calls=1000, at=0.0) == 1000


@given(st.floats(0, 1), times)
def test_no_stretch_of_time_has_more_than_its_share(share: float, waits: list[float]):
    """From any moment on: its calls' share, two a second, and ten that were saved."""
    budget, now = FallbackBudget(share, 0.0), 0.0
    history = []
    for wait_s in waits:
        now += wait_s
        budget.earn()
        history.append((now, budget.spend(now)))
    for first, (began, _) in enumerate(history):
        later = history[first:]
        most = 10 + share * len(later) + 2 * (now - began)
        assert sum(spent for _, spent in later) <= most + 1e-6
