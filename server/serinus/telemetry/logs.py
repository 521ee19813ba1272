"""How the server's decisions are written down: one line each, ours and our libraries' alike.

Everything goes through the standard library's root logger, where one handler renders it, so that uvicorn, asyncio and
grpc look like us and obey the same switches. A logger from `get_logger` works before `configure_logs` was called too.
"""

import contextlib
import dataclasses
import datetime as dt
import logging
import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Self, TextIO

from serinus.telemetry.console import coloured_line, plain_line
from serinus.telemetry.events import EventLogger, fields_of
from serinus.telemetry.log_fields import (
    as_json,
    bounded,
    printable,
    shortened_traceback,
    visible_lines,
)

Level = str
"""One of "debug", "info", "warning", "error"."""

LEVELS: Final[Mapping[Level, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_EXCEPTION = "exception"


def get_logger(name: str) -> EventLogger:
    """A logger for `log.info("rollout advanced", model=..., weight=...)`: an event and its fields, not prose."""
    return EventLogger(name)


@dataclasses.dataclass(frozen=True, slots=True)
class LogSwitches:
    """What is written, in the terms of the Open Inference Protocol's LogSettings: each kind has a switch of its own.

    Attributes:
        error: Errors and worse.
        warning: Warnings.
        info: Decisions.
        verbose_level: Above 0, what helps to debug.
    """

    error: bool = True
    warning: bool = True
    info: bool = True
    verbose_level: int = 0

    @classmethod
    def at(cls, level: Level) -> Self:
        """The switches that show `level` and what is worse.

        Raises:
            ValueError: there is no such level.
        """
        if level not in LEVELS:
            raise ValueError(f"unknown log level {level[:32]!r}: expected one of {', '.join(LEVELS)}")
        least = LEVELS[level]
        return cls(
            warning=least <= logging.WARNING, info=least <= logging.INFO, verbose_level=int(least == logging.DEBUG)
        )

    def shows(self, levelno: int) -> bool:
        """Whether a record of that level, in the standard library's numbers, is written."""
        if levelno >= logging.ERROR:
            return self.error
        if levelno >= logging.WARNING:
            return self.warning
        if levelno >= logging.INFO:
            return self.info
        return self.verbose_level > 0

    @property
    def least_levelno(self) -> int:
        """The lowest level of which anything is written; above all levels when nothing is."""
        return next((levelno for levelno in LEVELS.values() if self.shows(levelno)), logging.CRITICAL + 1)


class Logs:
    """The one handler of this process, and its switches; made by `configure_logs`."""

    def __init__(self, handler: logging.Handler, switches: LogSwitches) -> None:
        self._handler = handler
        self._switches = switches
        self._level_before = logging.root.level
        handler.addFilter(lambda record: self._switches.shows(record.levelno))
        logging.root.addHandler(handler)
        logging.root.setLevel(switches.least_levelno)

    def __repr__(self) -> str:
        return f"<Logs {self._switches}>"

    @property
    def switches(self) -> LogSwitches:
        """What is written now."""
        return self._switches

    def switch(self, switches: LogSwitches) -> None:
        """Write what `switches` shows from the next record on."""
        self._switches = switches
        # A record that no switch shows is not even made.
        logging.root.setLevel(switches.least_levelno)

    def set_level(self, level: Level) -> None:
        """Write `level` and what is worse from the next record on.

        Raises:
            ValueError: there is no such level.
        """
        self.switch(LogSwitches.at(level))

    def close(self) -> None:
        """Give the root logger back as it was; the stream stays open."""
        logging.root.removeHandler(self._handler)
        logging.root.setLevel(self._level_before)


def configure_logs(
    stream: TextIO, level: Level = "info", *, json: bool, context: Mapping[str, Any] = MappingProxyType({})
) -> Logs:
    """Write this process's log to `stream`, as JSON objects or as lines for people; called once, at start.

    Args:
        stream: Where to.
        level: The least important line written.
        json: Whether programs read it.
        context: Fields of every line, such as which process writes it.

    Raises:
        ValueError: there is no such level.
    """
    switches = LogSwitches.at(level)
    handler = _LineHandler(stream)
    handler.setFormatter(_LineFormatter(as_json if json else _for_people(stream), context))
    return Logs(handler, switches)


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines. A record that cannot be rendered becomes a line that says so; a stream that is gone loses them."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        lost = {"event": "log record lost", "error": type(sys.exc_info()[1]).__name__}
        line = as_json(_origin(record) | lost)
        with contextlib.suppress(Exception):
            self.stream.write(line + "\n")


class _LineFormatter(logging.Formatter):
    """Makes a record a line: its fields after when, how bad, who and what, all of them bounded."""

    def __init__(self, render: Callable[[Mapping[str, Any]], str], context: Mapping[str, Any]) -> None:
        super().__init__()
        self._render = render
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: bounded(value) for name, value in {**_with_origin(record), **self._context}.items()}
        if record.exc_info and record.exc_info[0] is not None:
            # Not the record's own copy: another handler may have made it, with what it chose to show.
            fields |= {_EXCEPTION: shortened_traceback(self.formatException(record.exc_info))}
        return self._render(fields)


def _with_origin(record: logging.LogRecord) -> dict[str, Any]:
    """The four that are the record's, whatever fields are called."""
    fields = fields_of(record)
    origin = _origin(record) | {"event": fields.pop("event", "")}
    return origin | {f"field_{name}" if name in origin else name: value for name, value in fields.items()}


def _origin(record: logging.LogRecord) -> dict[str, Any]:
    when = dt.datetime.fromtimestamp(record.created, dt.UTC)
    return {
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
    }


def _for_people(stream: TextIO) -> Callable[[Mapping[str, Any]], str]:
    """Renders with everything escaped that a terminal would obey."""
    line = coloured_line if stream.isatty() and "NO_COLOR" not in os.environ else plain_line

    def render(fields: Mapping[str, Any]) -> str:
        shown = dict(fields)
        traceback = shown.pop(_EXCEPTION, None)
        text = line(printable(shown))
        return text if traceback is None else f"{text}\n{visible_lines(traceback)}"

    return render
