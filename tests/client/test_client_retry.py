"""Retries: when, how long, and how many."""

import random

import pytest

from serinus_client.errors import (
    NEVER_S,
    DeadlineExceeded,
    InvalidInput,
    NotLoaded,
    Overloaded,
    SerinusError,
    ServerFault,
    Unavailable,
)
from serinus_client.retry import Retries, RetryBudget, RetryPolicy, wait_before_retry


class HighestDraw(random.Random):
    """Draws the upper end."""

    def uniform(self, a, b):
        return max(a, b)


POLICY = RetryPolicy(attempts=5, first_wait_s=0.1, longest_wait_s=0.3)


def wait(error, *, failures=1, remaining_s=10.0):
    return wait_before_retry(POLICY, error, failures=failures, remaining_s=remaining_s, rng=HighestDraw())


@pytest.mark.parametrize(("failures", "wait_s"), [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.3), (5, None)])
def test_waits_double_to_a_bound_and_tries_are_counted(failures, wait_s):
    """Full jitter: the draw is from zero to this."""
    assert wait(Unavailable("gone"), failures=failures) == wait_s


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        (Overloaded("full", retry_after_s=1.0), 1.1),
        (Overloaded("full", retry_after_s=0.0), 0.1),
        (Overloaded("full"), None),
        (Overloaded("full", retry_after_s=NEVER_S), None),
        (Unavailable("draining", retry_after_s=2.0), 2.1),
        (Unavailable("closed", retry_after_s=NEVER_S), None),
        (InvalidInput("bad"), None),
        (NotLoaded("loading"), None),
        (DeadlineExceeded("late"), None),
        (ServerFault("broken", retry_after_s=1.0), None),
    ],
)
def test_pushback_is_obeyed_and_nothing_else_is_tried_again(error, wait_s):
    """Never earlier than the server asked."""
    assert wait(error) == wait_s


def test_no_try_begins_after_the_deadline():
    """The caller hears the real error at once instead of a time-out later."""
    assert wait(Overloaded("full", retry_after_s=1.0), remaining_s=1.1) is None


def test_the_budget_is_a_floor_plus_a_share_of_calls_and_time():
    """Nobody retries more than that, and it never grows beyond its most."""
    policy = RetryPolicy(budget_ratio=0.5, budget_floor=1.0, budget_per_s=0.1, budget_most=2.0)
    budget = RetryBudget(policy, now=0.0)
    assert [budget.take(0.0), budget.take(0.0)] == [True, False]
    budget.count_call()
    assert budget.take(0.0) is False
    budget.count_call()
    assert [budget.take(0.0), budget.take(0.0)] == [True, False]
    assert [budget.take(10.0), budget.take(10.0)] == [True, False]
    assert [budget.take(1000.0) for _ in range(3)] == [True, True, False]


class Script:
    """Tries that end as told, on a clock that only sleeping moves."""

    def __init__(self, *outcomes, policy=POLICY):
        self.outcomes = list(outcomes)
        self.now = 100.0
        self.slept = []
        self.retries = Retries(policy, rng=HighestDraw(), clock=lambda: self.now, sleep=self.sleep)

    async def sleep(self, wait_s):
        self.slept.append(round(wait_s, 6))
        self.now += wait_s

    async def attempt(self):
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, SerinusError):
            raise outcome
        return outcome

    async def run(self, *, timeout_s=10.0):
        return await self.retries.run(self.attempt, deadline=self.now + timeout_s)


async def test_a_call_is_tried_until_it_answers():
    """Each wait by its own error."""
    script = Script(Unavailable("gone"), Overloaded("full", retry_after_s=0.5), "answer")
    assert await script.run() == "answer"
    assert script.slept == [0.1, 0.6]


async def test_the_last_error_is_the_callers():
    """Not the first, and not one about retries."""
    last = Unavailable("still gone")
    script = Script(Unavailable("gone"), last, policy=RetryPolicy(attempts=2))
    with pytest.raises(Unavailable) as raised:
        await script.run()
    assert raised.value is last


async def test_an_empty_budget_ends_retries_for_all_calls():
    """A server in trouble sees the load once, not four times."""
    policy = RetryPolicy(attempts=4, budget_floor=3.0, budget_ratio=0.0, budget_per_s=0.0)
    script = Script(*[Unavailable("gone")] * 40, policy=policy)
    for _ in range(10):
        with pytest.raises(Unavailable):
            await script.run()
    assert len(script.slept) == 3
    assert 40 - len(script.outcomes) == 13


@pytest.mark.parametrize("numbers", [{"attempts": 0}, {"budget_floor": 5.0, "budget_most": 1.0}])
def test_a_policy_that_makes_no_sense_is_refused(numbers):
    """With the name of the number."""
    with pytest.raises(ValueError, match=next(iter(numbers))):
        RetryPolicy(**numbers)
