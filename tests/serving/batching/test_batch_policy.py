"""How many rows run next, as a table."""

import pytest

from serinus.serving.batching.batch_policy import BatchPolicy, Dispatch, Linger, decide
from serinus.telemetry.outcome import DispatchReason

PLAIN = BatchPolicy(max_rows=8)
LINGERING = BatchPolicy(max_rows=8, linger_s=0.5, preferred_rows=(2, 4))


@pytest.mark.parametrize(
    ("policy", "waiting", "waited_s", "best", "free", "expected"),
    [
        # Work-conserving: whatever waits runs, shared out over the free slots.
        (PLAIN, 1, 0.0, 8, 1, Dispatch(1, DispatchReason.IDLE)),
        (PLAIN, 7, 0.0, 8, 1, Dispatch(7, DispatchReason.IDLE)),
        (PLAIN, 7, 0.0, 8, 2, Dispatch(4, DispatchReason.IDLE)),
        (PLAIN, 2, 0.0, 8, 5, Dispatch(1, DispatchReason.IDLE)),
        (PLAIN, 0, 0.0, 8, 2, Dispatch(1, DispatchReason.IDLE)),
        # Full: at the operator's limit or at the learned one, whichever is less.
        (PLAIN, 8, 0.0, 100, 1, Dispatch(8, DispatchReason.FULL)),
        (PLAIN, 8, 0.0, 100, 4, Dispatch(2, DispatchReason.FULL)),
        (PLAIN, 17, 0.0, 100, 2, Dispatch(8, DispatchReason.FULL)),
        (PLAIN, 900, 0.0, 3, 4, Dispatch(3, DispatchReason.FULL)),
        (LINGERING, 9, 0.0, 8, 2, Dispatch(8, DispatchReason.FULL)),
        # Lingering: until its time is over, or a preferred size is reached.
        (LINGERING, 1, 0.0, 8, 1, Linger(10.5)),
        (LINGERING, 1, 0.25, 8, 1, Linger(10.25)),
        (LINGERING, 1, 0.5, 8, 1, Dispatch(1, DispatchReason.LINGER)),
        (LINGERING, 2, 0.0, 8, 1, Dispatch(2, DispatchReason.PREFERRED)),
        (LINGERING, 7, 0.0, 8, 2, Dispatch(4, DispatchReason.PREFERRED)),
        (LINGERING, 7, 0.5, 8, 2, Dispatch(4, DispatchReason.LINGER)),
        (LINGERING, 3, 0.0, 3, 1, Dispatch(3, DispatchReason.FULL)),
    ],
)
def test_what_runs_next(policy, waiting, waited_s, best, free, expected):
    """The decision follows from the numbers alone."""
    decision = decide(policy, now=10.0, since=10.0 - waited_s, waiting_rows=waiting, best_rows=best, free_slots=free)
    assert decision == expected


def test_a_linger_that_is_waited_for_is_over():
    """At the moment that it names, whatever floats round to, it does not name a later one."""
    policy = BatchPolicy(linger_s=0.1)
    for step in range(1000):
        since = step * 0.37
        waiting = decide(policy, now=since, since=since, waiting_rows=1, best_rows=8, free_slots=1)
        assert isinstance(waiting, Linger)
        decision = decide(policy, now=waiting.until, since=since, waiting_rows=1, best_rows=8, free_slots=1)
        assert decision == Dispatch(1, DispatchReason.LINGER)
