"""How the program says that something happened: an event and its fields, as a record of the standard library's log."""

import logging
from typing import Any


class EventLogger:
    """Says events under one name, each as a mapping that is rendered where the log is written.

    `exc_info` among the fields is the standard library's: an error, or True for the one that is being handled.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def __repr__(self) -> str:
        return f"<EventLogger {self._logger.name}>"

    def debug(self, event: str, **fields: Any) -> None:
        """What helps to debug."""
        self._say(logging.DEBUG, event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        """A decision."""
        self._say(logging.INFO, event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something that an operator may have to see to."""
        self._say(logging.WARNING, event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something that went wrong."""
        self._say(logging.ERROR, event, **fields)

    def critical(self, event: str, **fields: Any) -> None:
        """Something after which nothing goes on."""
        self._say(logging.CRITICAL, event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """The error that is being handled, with its traceback."""
        self._say(logging.ERROR, event, exc_info=True, **fields)

    def _say(self, levelno: int, event: str, /, *, exc_info: Any = None, **fields: Any) -> None:
        self._logger.log(levelno, {"event": event, **fields}, exc_info=exc_info)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Event and fields of a record; a library's has its message and no fields."""
    if isinstance(record.msg, dict) and not record.args:
        return dict(record.msg)
    return {"event": record.getMessage()}
