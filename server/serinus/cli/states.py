"""Words and colours for the states that a server reports."""

from serinus_api.v1 import admin_pb2 as pb

ON_PURPOSE = frozenset({"unloaded", "registered, not loaded"})
"""The server's reasons for versions that are not served because nobody wants them to be."""

_STYLES = {
    "READY": "green",
    "LOADING": "yellow",
    "UNLOADING": "yellow",
    "UNAVAILABLE": "red",
}


def state_name(state: "pb.ModelState.ValueType") -> str:
    """A state without the prefix of its enum: READY."""
    return pb.ModelState.Name(state).removeprefix("MODEL_STATE_")


def state_style(name: str, reason: str = "") -> str:
    """How rich is to show a state that has this reason."""
    return "dim" if reason in ON_PURPOSE else _STYLES.get(name, "dim")
