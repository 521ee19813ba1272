"""The operator's signals: the first to stop is a request, the second an order."""

import asyncio
import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self

from serinus.telemetry.logs import get_logger

log = get_logger("serinus.signals")

_STOPPING = (signal.SIGTERM, signal.SIGINT)
_SHELL_OFFSET = 128  # shells report a process that signal N ended as 128 + N


class StopSignals:
    """Running → stopping, at the first SIGTERM or SIGINT → gone at once, at the second, with exit code 128 + signal.

    A context manager, inside the loop that is to be stopped.

    Args:
        stop: Called at the first signal.
        hang_up: Called at each SIGHUP; None notes it and changes nothing.
        end_process: Ends the process at the second one, with an exit code.

    Attributes:
        is_stopping: Whether the first has come.
    """

    def __init__(
        self,
        stop: Callable[[], None],
        *,
        hang_up: Callable[[], None] | None = None,
        end_process: Callable[[int], None] = os._exit,
    ) -> None:
        self.is_stopping = False
        self._hang_up = hang_up
        self._stop = stop
        self._end_process = end_process
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        for number in _STOPPING:
            self._loop.add_signal_handler(number, self._stop_or_end, number)
        self._loop.add_signal_handler(signal.SIGHUP, self._take_hang_up)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in (*_STOPPING, signal.SIGHUP):
            self._loop.remove_signal_handler(number)

    def _stop_or_end(self, number: signal.Signals) -> None:
        if self.is_stopping:
            log.warning("stopping at once", signal=number.name)
            self._end_process(_SHELL_OFFSET + number)
            return
        self.is_stopping = True
        log.info("stopping", signal=number.name)
        self._stop()

    def _take_hang_up(self) -> None:
        if self._hang_up is not None:
            self._hang_up()
            return
        log.info("signal ignored", signal="SIGHUP", reason="nothing is read again while the server runs")
