"""A worker's side: which place it has, whom it answers to, and that it does not outlive its supervisor."""

import ctypes
import dataclasses
import os
import signal
import socket
from collections.abc import Sequence
from typing import Self

from serinus.workers.control import ControlChannel

_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Assignment:
    """What a supervisor says on the command line of a worker; see `Launch`.

    Attributes:
        index: From 1.
        count: How many there are.
        channel: Descriptor of the socket to the supervisor.
        record: Descriptor of its `CrashRecord`.
        supervisor: Process number.
    """

    index: int
    count: int
    channel: int
    record: int
    supervisor: int

    @classmethod
    def read(cls, arguments: Sequence[str]) -> Self:
        """What `Launch.arguments` wrote behind the command.

        Raises:
            ValueError: it is something else.
        """
        try:
            place, *numbers = arguments
            index, _, count = place.partition("/")
            channel, record, supervisor = map(int, numbers)
            return cls(int(index), int(count), channel, record, supervisor)
        except ValueError as error:
            raise ValueError("expected a place, two descriptors and a process number") from error

    def connection(self) -> socket.socket:
        """The socket to the supervisor; to be taken once."""
        found = socket.socket(fileno=self.channel)
        # Children of this process, such as those that examine models, have no business with the supervisor.
        found.set_inheritable(False)
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Seat:
    """A worker that has been heard of by its supervisor.

    Attributes:
        index: From 1.
        count: How many workers there are.
        record: Descriptor of its `CrashRecord`.
        channel: To the supervisor; what it may ask is added with `answer`.
    """

    index: int
    count: int
    record: int
    channel: ControlChannel

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def end_with(supervisor: int) -> None:
    """Be killed by the system when the supervisor ends, however it does. Call it first: it may be gone already."""
    # Of the thread that started this process: the supervisor's only one.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(os.EX_TEMPFAIL)


def leave_signals_to_the_supervisor() -> None:
    """A terminal sends Ctrl-C and its end to all processes; the supervisor decides what becomes of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
