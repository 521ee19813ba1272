"""Decides how many rows run next, and why. Pure."""

import dataclasses

from serinus.telemetry.outcome import DispatchReason


@dataclasses.dataclass(frozen=True, slots=True)
class BatchPolicy:
    """What an operator may say about batching; the defaults need no tuning.

    Attributes:
        max_rows: No run holds more rows; larger calls are split.
        linger_s: How long a call may wait for company while a run slot is free. 0: never.
        preferred_rows: Sizes worth waiting for while lingering, ascending.
    """

    max_rows: int = 256
    linger_s: float = 0.0
    preferred_rows: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Dispatch:
    """Run at most `rows` rows now."""

    rows: int
    reason: DispatchReason


@dataclasses.dataclass(frozen=True, slots=True)
class Linger:
    """Wait for company, but no longer than until `until`."""

    until: float


def decide(
    policy: BatchPolicy, *, now: float, since: float, waiting_rows: int, best_rows: int, free_slots: int
) -> Dispatch | Linger:
    """What to do with `waiting_rows` rows while a slot is free.

    Work-conserving: without `linger_s` whatever waits runs at once. It is shared out over the free slots, because two
    half batches side by side finish before one whole batch does, and leave no processor idle.

    Args:
        policy: The operator's words.
        now: Event-loop time in seconds.
        since: When the oldest of the rows came.
        waiting_rows: Rows that could share the next run.
        best_rows: Where rows a second stops improving, as far as the server has learned.
        free_slots: Runs that could start now, at least 1.
    """
    limit = min(policy.max_rows, best_rows)
    share = max(1, -(-waiting_rows // free_slots))
    if waiting_rows >= limit:
        # Who lingers has said that whole runs are worth more than idle slots.
        return Dispatch(limit if policy.linger_s > 0 else min(limit, share), DispatchReason.FULL)
    # A moment, not a remainder: the timer that is set for it then finds it reached, whatever floats round to.
    until = since + policy.linger_s
    if now < until:
        if reached := [rows for rows in policy.preferred_rows if rows <= waiting_rows]:
            return Dispatch(reached[-1], DispatchReason.PREFERRED)
        return Linger(until)
    return Dispatch(share, DispatchReason.LINGER if policy.linger_s > 0 else DispatchReason.IDLE)
