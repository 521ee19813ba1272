"""What the journal says of each thing that happens to a rollout."""

import enum
from collections.abc import Mapping

from serinus.rollout.ports import Entry
from serinus.rollout.rollout import (
    Abort,
    Event,
    ForcePromote,
    Measured,
    Numbers,
    Pause,
    Prepared,
    Promote,
    Resume,
    Rollout,
    ServerLost,
    Status,
)


class Happening(enum.StrEnum):
    """What has happened to a rollout, in the words of its journal.

    STAGE: it is in the next stage. HELD: it waits for a person. FAILING: it has failed, and the candidate gets no call
    any more. ROLLED_BACK: every server acts by that. SERVER_LOST: a server died, and it goes on.
    """

    STARTED = "started"
    PREPARED = "prepared"
    MEASURED = "measured"
    STAGE = "stage"
    HELD = "held"
    SERVER_LOST = "server_lost"
    FAILING = "failing"
    ROLLED_BACK = "rolled_back"
    SUCCEEDED = "succeeded"
    PAUSED = "paused"
    RESUMED = "resumed"
    PROMOTED = "promoted"
    ABORTED = "aborted"


_OF_COMMANDS: Mapping[type, Happening] = {
    Pause: Happening.PAUSED,
    Resume: Happening.RESUMED,
    Promote: Happening.PROMOTED,
    ForcePromote: Happening.PROMOTED,
    Abort: Happening.ABORTED,
}
_OF_STATUS: Mapping[Status, Happening] = {
    Status.FAILING: Happening.FAILING,
    Status.ROLLED_BACK: Happening.ROLLED_BACK,
    Status.SUCCEEDED: Happening.SUCCEEDED,
}
_OF_EVENTS: Mapping[type, Happening] = {
    Prepared: Happening.PREPARED,
    Measured: Happening.MEASURED,
    ServerLost: Happening.SERVER_LOST,
}


def happening(before: Rollout, event: Event, after: Rollout) -> Happening:
    """What has happened when `event` made `after` of `before`: what was commanded, or else where it led."""
    known = _OF_COMMANDS.get(type(event)) or _OF_STATUS.get(after.status) or _OF_EVENTS.get(type(event))
    return known or (Happening.HELD if after.stage == before.stage else Happening.STAGE)


def entry_of(before: Rollout, event: Event, after: Rollout, numbers: Numbers) -> Entry:
    """The journal's entry for `event`, which made `after` of `before`."""
    what = happening(before, event, after)
    reason = after.reason
    if what is Happening.MEASURED and after.slow_s is not None:
        reason = f"a call that takes longer than {1000 * after.slow_s:.4g} ms is slow, by stable's own"
    return Entry(what.value, after.status.value, reason, numbers)
