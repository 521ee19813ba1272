"""How the server's decisions are written down: one line each, ours and our libraries' alike, through structlog.

Everything goes through the standard library's root logger, where one handler renders it, so that uvicorn, asyncio and
grpc look like us and obey the same switches. A logger from `get_logger` works before `configure_logs` was called too.
"""

import contextlib
import dataclasses
import datetime as dt
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Final, Self, TextIO

import structlog

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


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for `log.info("rollout advanced", model=..., weight=...)`: an event and its fields, not prose."""
    return structlog.stdlib.BoundLogger(
        logging.getLogger(name),
        [structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        {},
    )


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
    render = _json_line if json else _ConsoleLine(colors=stream.isatty())
    handler = _LineHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                _with_origin,
                lambda _logger, _method, event: {**event, **context},
                structlog.processors.format_exc_info,
                _with_bounded_fields,
                render,
            ],
        )
    )
    return Logs(handler, switches)


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines. A record that cannot be rendered becomes a line that says so; a stream that is gone loses them."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        lost = {"event": "log record lost", "error": type(sys.exc_info()[1]).__name__}
        line = as_json(_origin(record) | lost)
        with contextlib.suppress(Exception):
            self.stream.write(line + "\n")


def _with_origin(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The fields after when, how bad, who and what, which are the record's whatever the fields are called."""
    record: logging.LogRecord = event.pop("_record")
    event.pop("_from_structlog")
    origin = _origin(record) | {"event": event.pop("event", "")}
    return origin | {f"field_{name}" if name in origin else name: value for name, value in event.items()}


def _origin(record: logging.LogRecord) -> dict[str, Any]:
    when = dt.datetime.fromtimestamp(record.created, dt.UTC)
    return {
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
    }


def _with_bounded_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    traceback = event.pop(_EXCEPTION, None)
    fields = {name: bounded(value) for name, value in event.items()}
    return fields if traceback is None else fields | {_EXCEPTION: shortened_traceback(traceback)}


def _json_line(_logger: Any, _method: str, event: Mapping[str, Any]) -> str:
    return as_json(event)


class _ConsoleLine:
    """Renders for a terminal, with everything escaped that the terminal would obey."""

    def __init__(self, *, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(
            colors=colors and "NO_COLOR" not in os.environ,
            timestamp_key="time",
            # The default prints local variables, which hold callers' data.
            exception_formatter=structlog.dev.plain_traceback,
        )

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        traceback = event.pop(_EXCEPTION, None)
        line = self._render(logger, method, printable(dict(event)))
        return line if traceback is None else f"{line}\n{visible_lines(traceback)}"
