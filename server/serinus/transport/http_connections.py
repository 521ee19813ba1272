"""Which HTTP connections go when there are too many: who asks nothing, in favour of whoever comes."""

import asyncio
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from serinus.telemetry.logs import get_logger

log = get_logger("serinus.http")


class ConnectionBook:
    """The open connections of one server, at most so many.

    A port that monitors look at must not be closed to them by those who connect and say nothing: the oldest that waits
    for no answer is ended for the newest. Only where all wait for answers, the newest is.

    Args:
        most: At least 1.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[_Connection, None] = {}  # in the order in which they came
        self._was_full = False

    def __repr__(self) -> str:
        return f"<ConnectionBook [{len(self._open)} of {self._most}]>"

    def protocol(self) -> type[asyncio.Protocol]:
        """What uvicorn makes one of for each connection."""
        return type("Connection", (_Connection,), {"book": self})

    def came(self, connection: "_Connection") -> None:
        """It is open; somebody may have to go, possibly it."""
        self._open[connection] = None
        if len(self._open) <= self._most:
            return
        if not self._was_full:
            self._was_full = True
            log.warning(
                "HTTP connections ended", hint="clients keep more of them open than there may be", most=self._most
            )
        leaving = next(each for each in self._open if not each.waits)  # who has just come, if nobody else
        self.left(leaving)
        leaving.transport.abort()

    def left(self, connection: "_Connection") -> None:
        """It is over, or as good as."""
        self._open.pop(connection, None)


class _Connection(H11Protocol):
    """A connection that is in the book while it is open."""

    book: ClassVar[ConnectionBook]

    @property
    def waits(self) -> bool:
        """Whether an answer is under way."""
        return self.conn.our_state in {h11.SEND_RESPONSE, h11.SEND_BODY}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as of H11Protocol
        super().connection_made(transport)
        self.book.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.book.left(self)
        super().connection_lost(exc)
