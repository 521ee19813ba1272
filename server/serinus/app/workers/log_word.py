"""What all processes of a server log, once a client has said so to one of them."""

import dataclasses
from collections.abc import Callable
from typing import Final

from serinus.telemetry.logs import Logs, LogSwitches
from serinus.workers.control import Body
from serinus.workers.crew import Crew

LOG: Final = "log"
"""What is said both ways: {"log": {...}}, all switches; {"log": None} for what everybody started with."""

_TELL_S = 1.0  # who hears later obeys all the same


class LogWord:
    """The supervisor's side: obeys, tells all workers, and tells those that come.

    Args:
        crew: The workers; there is none yet when this is made.
        logs: The supervisor's own.
    """

    def __init__(self, crew: Callable[[], Crew], logs: Logs) -> None:
        self._crew = crew
        self._logs = logs
        self._said: Body | None = None

    def standing(self) -> Body:
        """For a worker that has just come."""
        return {LOG: self._said}

    async def relay(self, _index: int, body: Body) -> Body:
        """Answers a worker that was told. All hear all of it in the same order, so the last word holds everywhere."""
        obey(body, self._logs)
        self._said = body[LOG]
        await self._crew().ask_all(LOG, self.standing(), timeout_s=_TELL_S)
        return {}


def word_of(switches: LogSwitches) -> Body:
    """The message that says these switches."""
    return {LOG: dataclasses.asdict(switches)}


def obey(body: Body, logs: Logs) -> None:
    """Log what a message says."""
    if (said := body[LOG]) is not None:
        logs.switch(LogSwitches(**said))
