"""Takes the turns of a job that must go on through every trouble."""

import asyncio
from collections.abc import Awaitable, Callable

from serinus.core.errors import ServerError
from serinus.telemetry.logs import get_logger

_log = get_logger(__name__)


class Turns:
    """Takes turns one after the other, and says once what keeps them from their end.

    Args:
        longest_s: A turn that takes longer waits for a database that does not answer, and is given up.
        failing: What the log says when turns begin to fail.
        mended: What it says when they do no more.
    """

    def __init__(self, *, longest_s: float, failing: str, mended: str) -> None:
        self._longest_s = longest_s
        self._failing = failing
        self._mended = mended
        self._trouble = ""

    def __repr__(self) -> str:
        return f"<Turns [{self._trouble or 'well'}]>"

    async def take(self, turn: Callable[[], Awaitable[None]]) -> bool:
        """Whether a turn came to its end; what went wrong is logged."""
        try:
            async with asyncio.timeout(self._longest_s):
                await turn()
        except ServerError as error:
            self._stumble(error.message)
        except TimeoutError:
            self._stumble(f"the database has not answered within {self._longest_s:g} s")
        except Exception as error:  # noqa: BLE001 - a task's outermost frame
            self._stumble(f"a bug: {type(error).__name__}", error)
        else:
            if self._trouble:
                _log.info(self._mended)
            self._trouble = ""
            return True
        return False

    def _stumble(self, trouble: str, bug: Exception | None = None) -> None:
        if trouble != self._trouble:
            _log.warning(self._failing, trouble=trouble, exc_info=bug)
        self._trouble = trouble
