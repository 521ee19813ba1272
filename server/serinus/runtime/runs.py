"""Which version runs on which thread since when, and the handle by which a run can be told to end."""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import onnxruntime  # type: ignore[import-untyped]  # it ships no types

from serinus.core.errors import DeadlinePassed
from serinus.core.version import ModelVersion

# Of runs that nobody watches, all at once: nothing is ever set in it. Without one onnxruntime makes one for each run,
# which takes longer (5.5 against 4.6 microseconds a run of a tiny model).
_UNWATCHED = onnxruntime.RunOptions()


class RunHooks(Protocol):
    """Told about each run; called on its thread, must not raise, and must return at once."""

    def on_begin(self, slot: int, identity: ModelVersion) -> None:
        """A version begins to run."""
        ...

    def on_end(self, slot: int) -> None:
        """It has returned or failed."""
        ...


class Run:
    """A run under way.

    Attributes:
        identity: The version that runs.
        deadline: `time.monotonic()` after which nobody waits for it; 0.0 if nobody ever says.
        since: `time.monotonic()` at which it began.
        thread: The name of its thread.
        told_at: When it was told to end; None before.
        is_reported: Somebody was told that it does not end.
    """

    __slots__ = ("_options", "deadline", "identity", "is_reported", "since", "thread", "told_at")

    def __init__(self, identity: ModelVersion, deadline: float, since: float, thread: str) -> None:
        self.identity = identity
        self.deadline = deadline
        self.since = since
        self.thread = thread
        self.told_at: float | None = None
        self.is_reported = False
        # One for each run, so that no run can be ended in the place of another.
        self._options = onnxruntime.RunOptions()

    @property
    def options(self) -> Any:
        """What the run gives to onnxruntime."""
        return self._options

    def terminate(self, now: float) -> None:
        """Tell it to end, which it does before its next node; it fails then."""
        self.told_at = now
        self._options.terminate = True

    def __repr__(self) -> str:
        return f"<Run {self.identity} on {self.thread}{', told to end' if self.told_at is not None else ''}>"


class _Seat:
    """One thread's place."""

    __slots__ = ("is_watched", "run", "slot", "thread")

    def __init__(self, slot: int, thread: str, *, is_watched: bool) -> None:
        self.slot = slot
        self.thread = thread
        self.is_watched = is_watched
        self.run: Run | None = None


class _Here(threading.local):
    seat: _Seat | None = None


class RunsInProgress:
    """The runs of a compute pool and of the thread that it belongs to; threads without a seat are nobody's concern.

    Attributes:
        hooks: Told about each run.
        clock: `time.monotonic`.
    """

    def __init__(self, hooks: RunHooks | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._hooks = hooks
        self._clock = clock
        self._here = _Here()
        self._seats: dict[int, _Seat] = {}

    def take_seat(self, slot: int) -> None:
        """Watch the runs of the calling thread from now on; nobody has had the slot before."""
        seat = _Seat(slot, threading.current_thread().name, is_watched=True)
        self._seats[slot] = self._here.seat = seat

    def take_unwatched_seat(self, slot: int) -> None:
        """Tell the hooks about the runs of the calling thread: the event loop's, which nobody could end from there."""
        seat = _Seat(slot, threading.current_thread().name, is_watched=False)
        self._seats[slot] = self._here.seat = seat

    def leave(self) -> None:
        """Give the calling thread's seat up."""
        self._here.seat = None

    def under_way(self) -> list[Run]:
        """The runs that are watched."""
        return [run for seat in list(self._seats.values()) if (run := seat.run) is not None]

    # Around each run, on its thread.

    def begin(self, identity: ModelVersion, deadline: float) -> Any:
        """A run begins; what to give to onnxruntime.

        Raises:
            DeadlinePassed: nobody waits for it any more: it stood ready while those before it took too long.
        """
        seat = self._here.seat
        if seat is None:
            return _UNWATCHED
        now = self._clock()
        if seat.is_watched and 0.0 < deadline < now:
            raise DeadlinePassed("its time was over before a thread was free to run it")
        if self._hooks is not None:
            self._hooks.on_begin(seat.slot, identity)
        if not seat.is_watched:
            return _UNWATCHED
        run = seat.run = Run(identity, deadline, now, seat.thread)
        return run.options

    def end(self) -> None:
        """It is over."""
        seat = self._here.seat
        if seat is None:
            return
        seat.run = None
        if self._hooks is not None:
            self._hooks.on_end(seat.slot)

    def __repr__(self) -> str:
        return f"<RunsInProgress {self.under_way()}>"
