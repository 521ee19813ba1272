"""Publishes what this server has counted, again and again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, NoReturn, Protocol

from serinus.core.errors import ServerError
from serinus.core.windows import ServerWindow
from serinus.rollout.reporting.windows import Followed, Reports
from serinus.telemetry.logs import get_logger

_LONGEST_S: Final = 5.0  # half of what a server is given before it is taken for dead
_LEAVING_S: Final = 1.0  # otherwise others take it for dead, which fails nothing by itself

_log = get_logger(__name__)


class Publishes(Protocol):
    """Keeps the last window of each server; the registry does."""

    async def publish(self, window: ServerWindow) -> None:
        """Replace what its server has published last; ignored if the rollout has ended."""
        ...


class Reporting:
    """Publishes the windows of one server; `run` must run for that, and goes on through every trouble.

    Nothing is published, and the database is left alone, while no model has a rollout.

    Args:
        reports: Makes windows.
        store: Where they are published.
        models: Those that this server acts by.
        interval_s: Between two.
        sleep: Waits for seconds; for tests.
    """

    def __init__(
        self,
        reports: Reports,
        store: Publishes,
        *,
        models: Callable[[], Collection[Followed]],
        interval_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._reports = reports
        self._store = store
        self._models = models
        self._interval_s = interval_s
        self._sleep = sleep
        self._trouble = ""

    def __repr__(self) -> str:
        return f"<Reporting of {self._reports!r}>"

    async def run(self) -> NoReturn:
        """Publish until it is cancelled, then say goodbye."""
        try:
            while True:
                await self.report()
                # No longer wait after trouble: a server that is silent is taken for dead.
                await self._sleep(self._interval_s)
        finally:
            with contextlib.suppress(ServerError, TimeoutError):
                await self._publish(self._reports.farewell(), _LEAVING_S)

    async def report(self) -> None:
        """Publish once; what goes wrong is logged."""
        try:
            await self._publish(self._reports.windows(self._models()), _LONGEST_S)
        except ServerError as error:
            self._stumble(error.message)
        except TimeoutError:
            self._stumble(f"the database has not answered within {_LONGEST_S:g} s")
        except Exception as error:  # noqa: BLE001 - the task's outermost frame
            self._stumble(f"a bug: {type(error).__name__}", error)
        else:
            if self._trouble:
                _log.info("counts published again")
            self._trouble = ""

    async def _publish(self, windows: Sequence[ServerWindow], longest_s: float) -> None:
        async with asyncio.timeout(longest_s):
            for window in windows:
                await self._store.publish(window)

    def _stumble(self, trouble: str, bug: Exception | None = None) -> None:
        if trouble != self._trouble:
            _log.warning("counts not published", trouble=trouble, exc_info=bug)
        self._trouble = trouble
