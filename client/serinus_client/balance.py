"""Decides which stream the next message goes to, and how many of the waiting calls it takes.

Two wishes pull in opposite directions. A message costs about as much as ten to twenty quick calls, so quick calls are
kept together on as few streams as possible. A call that keeps a worker busy for milliseconds is worth a message of its
own, so slow calls are spread over all workers at once. What a call costs is seen in the answers.
"""

from collections.abc import Sequence, Sized
from typing import Protocol, TypeVar

_MESSAGE_S = 500e-6  # what sending and reading one more message, and one more answer, costs both sides together
_CALL_S = 20e-6  # what a call costs a server besides its run
_WEIGHT = 1 / 8  # of each new answer


class Load(Protocol):
    """A stream, as far as it matters here."""

    @property
    def open(self) -> Sized:
        """Calls that were sent on it and have no outcome yet."""
        ...

    @property
    def credits(self) -> int:
        """Calls that may be open on it."""
        ...

    @property
    def is_writing(self) -> bool:
        """Whether a message is on its way into the transport; the next has to wait for it."""
        ...

    @property
    def is_proven(self) -> bool:
        """Whether its server has ever been heard."""
        ...

    @property
    def is_doubtful(self) -> bool:
        """Whether calls on it have expired, and nothing was heard since."""
        ...


L = TypeVar("L", bound=Load)


class CallCost:
    """What a call costs a worker, as its answers say: the mean over recent ones.

    Attributes:
        seconds: For one call.
    """

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = _CALL_S

    def note(self, compute_s: float, rows: int) -> None:
        """One run took `compute_s` for so many rows."""
        self.seconds += _WEIGHT * (_CALL_S + compute_s / max(1, rows) - self.seconds)

    @property
    def together(self) -> int:
        """Calls that are better kept on one stream than given a message of their own, at least 1."""
        return max(1, int(_MESSAGE_S / self.seconds))


def choose(streams: Sequence[L], *, waiting: int, together: int) -> tuple[L, int] | None:
    """The stream for the next message and how many calls at most it should take, or None while none can take any.

    Args:
        streams: Those that may be written to; the order should stay.
        waiting: Calls that wait, at least 1.
        together: See `CallCost`.
    """
    # One that was never heard, or not lately, may never be: it gets calls only where nothing better is known.
    proven = [stream for stream in streams if stream.is_proven] or streams
    usable = [stream for stream in proven if not stream.is_doubtful] or proven
    if not usable:
        return None
    total = waiting + sum([len(stream.open) for stream in usable])
    wanted = min(len(usable), -(-total // together))
    free = [stream for stream in usable[:wanted] if _can_take(stream)]
    if not free:  # the few are full or at it: further ones are better than waiting for long, not for a moment
        free = [stream for stream in usable[wanted:] if _can_take(stream) and _all_full(usable[:wanted])]
        if not free:
            return None
    best = min(free, key=_fullness)
    level = -(-total // wanted)
    opened = len(best.open)
    return best, max(1, min(waiting, best.credits - opened, level - opened))


def _can_take(stream: Load) -> bool:
    return not stream.is_writing and len(stream.open) < stream.credits


def _all_full(streams: Sequence[Load]) -> bool:
    return all(len(stream.open) >= stream.credits for stream in streams)


def _fullness(stream: Load) -> float:
    return len(stream.open) / stream.credits
