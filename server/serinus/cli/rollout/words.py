"""Words, colours and numbers for what a server says of a rollout."""

import math
from typing import Final

from serinus.cli import units
from serinus_api.v1 import admin_pb2 as pb

ENDS: Final = frozenset({pb.ROLLOUT_STATUS_SUCCEEDED, pb.ROLLOUT_STATUS_ROLLED_BACK, pb.ROLLOUT_STATUS_ABORTED})
"""Where nothing happens any more."""
LOST: Final = frozenset({pb.ROLLOUT_STATUS_FAILING, pb.ROLLOUT_STATUS_ROLLED_BACK, pb.ROLLOUT_STATUS_ABORTED})
"""Where the candidate gets no calls any more."""

STATUS_STYLES: Final = {
    "preparing": "cyan",
    "running": "cyan",
    "paused": "yellow",
    "waiting": "yellow",
    "failing": "red",
    "succeeded": "green",
    "rolled_back": "red",
    "aborted": "red",
}
"""How rich is to show a status, by its name."""
_OUTCOME_STYLES: Final = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
_MILLION: Final = 1e6
_TEN: Final = 10


def status_name(status: "pb.RolloutStatus.ValueType") -> str:
    """A status without the prefix of its enum: "rolled_back"."""
    return pb.RolloutStatus.Name(status).removeprefix("ROLLOUT_STATUS_").lower()


def status_style(status: "pb.RolloutStatus.ValueType") -> str:
    """How rich is to show it."""
    return STATUS_STYLES.get(status_name(status), "dim")


def outcome_name(outcome: "pb.Outcome.ValueType") -> str:
    """An outcome without the prefix of its enum: "pass"."""
    return pb.Outcome.Name(outcome).removeprefix("OUTCOME_").lower()


def outcome_style(outcome: "pb.Outcome.ValueType") -> str:
    """How rich is to show it."""
    return _OUTCOME_STYLES.get(outcome_name(outcome), "dim")


def odds(value: float) -> str:
    """Evidence as odds against chance: "4.2", "4,120", "10^9"."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "-"
    if value >= _MILLION:
        return f"10^{math.log10(value):.0f}"
    return f"{value:,.0f}" if value >= _TEN else f"{value:.2g}"


def count_of(part: int, whole: int) -> str:
    """A count with its share: "23 (5.58 %)"; "-" without anything to be a part of."""
    if not whole:
        return "-"
    return f"{part:,} ({units.percent(part / whole)})" if part else "0"


def candidate_text(rollout: pb.Rollout) -> str:
    """The versions that are on trial."""
    return ", ".join(rollout.candidates)
