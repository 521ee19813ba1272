"""What has happened to a rollout since it was looked at last: from what its servers say and the judge thinks."""

from collections.abc import Iterator

from serinus.rollout.control.census import Census
from serinus.rollout.ports import Stored
from serinus.rollout.rollout import (
    Broken,
    Event,
    Followed,
    Judged,
    Measured,
    Outcome,
    Prepared,
    ServerLost,
    Status,
    Verdict,
)


def events_of(
    stored: Stored, census: Census, verdict: Verdict | None, slow_s: float | None, at: float
) -> Iterator[Event]:
    """Everything that may have happened, what is worst for the candidate first.

    Args:
        stored: The rollout.
        census: Of its servers.
        verdict: Of the judge; None where there is nothing to judge.
        slow_s: What would count as slow; None while nobody knows.
        at: Seconds since 1970.
    """
    rollout = stored.rollout
    if rollout.status is Status.FAILING:
        # Each event ends the waiting for a server that does not follow, once that has lasted long enough.
        yield Followed(at) if census.follows(stored.revision) else ServerLost(at)
        return
    if trouble := census.trouble(rollout):
        yield Broken(at, trouble)
    if verdict is not None and verdict.outcome is Outcome.FAIL:
        yield Judged(at, verdict)
    # Compared with what was noted, so that a controller that has just begun reports no server again.
    if len(census.dead) > rollout.lost_servers:
        yield ServerLost(at)
    if rollout.status is Status.PREPARING and census.is_ready(rollout):
        yield Prepared(at)
    if rollout.status is not Status.PREPARING and rollout.slow_s is None and slow_s is not None:
        yield Measured(at, slow_s)
    if verdict is not None:
        yield Judged(at, verdict)
