"""Publishes what this server has counted, again and again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, NoReturn, Protocol

from serinus.core.errors import ServerError
from serinus.core.windows import ServerWindow
from serinus.rollout.reporting.windows import Followed, Reports
from serinus.rollout.turns import Turns

_LONGEST_S: Final = 5.0  # half of what a server is given before it is taken for dead
_LEAVING_S: Final = 1.0  # otherwise others take it for dead, which fails nothing by itself


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
        self._turns = Turns(longest_s=_LONGEST_S, failing="counts not published", mended="counts published again")

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
                async with asyncio.timeout(_LEAVING_S):
                    await self._publish(self._reports.farewell())

    async def report(self) -> None:
        """Publish once; what goes wrong is logged."""
        await self._turns.take(lambda: self._publish(self._reports.windows(self._models())))

    async def _publish(self, windows: Sequence[ServerWindow]) -> None:
        for window in windows:
            await self._store.publish(window)
