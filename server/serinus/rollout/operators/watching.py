"""Lets people watch rollouts, on any server: what the controller has written is all that it takes."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from serinus.core.errors import DataLost, NotFound, StoreUnavailable
from serinus.rollout.judging.judgement import NOTHING_JUDGED, Judgement, judgement_of
from serinus.rollout.ports import History, Stored
from serinus.rollout.view import RolloutView, view_of
from serinus.telemetry.logs import get_logger

_SLOWEST_S: Final = 1.0  # a person who watches sees a move within a second, however seldom the judge looks
_PATIENCE_S: Final = 60.0  # a database restarts in less; whoever watches longer than that is told

_log = get_logger(__name__)


@dataclasses.dataclass(slots=True)
class _Shown:
    """What those who watch one rollout share.

    Attributes:
        reading: Held by the one who reads for all.
        watchers: How many there are.
        view: What was read last; None before.
        read_at: When, in monotonic seconds.
    """

    reading: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    watchers: int = 0
    view: RolloutView | None = None
    read_at: float = 0.0


class Watching:
    """Rollouts as people look at them, once or all the time.

    However many watch a rollout, it is read twice in an interval at most. It is read again and again because nobody is
    told of evidence: that is no change of the registry.

    Args:
        journal: Where rollouts are.
        clock: Seconds since 1970.
        monotonic: Seconds.
        interval_s: How often the judge looks.
        sleep: Waits for seconds; for tests.
    """

    def __init__(
        self,
        journal: History,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        interval_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._monotonic = monotonic
        self._interval_s = min(interval_s, _SLOWEST_S)
        self._sleep = sleep
        self._shown: dict[str, _Shown] = {}

    def __repr__(self) -> str:
        return f"<Watching [{sum(shown.watchers for shown in self._shown.values())} watchers]>"

    async def get(self, rollout: str) -> RolloutView:
        """One; NotFound if there is none."""
        return await self._view(await self._journal.get(rollout))

    async def newest(self, model: str) -> RolloutView:
        """The last one of a model; NotFound if it never had one."""
        found = await self._journal.recent(model, 1)
        if not found:
            raise NotFound(f"model {model} never had a rollout", reason="UNKNOWN_ROLLOUT", field="model")
        return await self._view(found[0])

    async def watch(self, rollout: str) -> AsyncIterator[RolloutView]:
        """The rollout as it is now, then again in each interval, and last as it has ended.

        Raises:
            NotFound: there is none.
            StoreUnavailable: the database cannot be reached at first, or for a minute later.
        """
        shown = self._shown.setdefault(rollout, _Shown())
        shown.watchers += 1
        try:
            view = await self._fresh(rollout, shown)
            yield view
            while not view.stored.rollout.has_ended:
                view = await self._next(rollout, shown)
                yield view
        finally:
            shown.watchers -= 1
            if not shown.watchers:
                del self._shown[rollout]

    async def _next(self, rollout: str, shown: _Shown) -> RolloutView:
        """The rollout an interval later, or as soon as the database can be reached again."""
        since = self._monotonic()
        while True:
            await self._sleep(self._interval_s)
            try:
                return await self._fresh(rollout, shown)
            except StoreUnavailable:
                if self._monotonic() - since > _PATIENCE_S:
                    raise

    async def _fresh(self, rollout: str, shown: _Shown) -> RolloutView:
        async with shown.reading:
            age_s = self._monotonic() - shown.read_at
            if shown.view is None or age_s >= self._interval_s / 2:
                shown.view = await self.get(rollout)
                shown.read_at = self._monotonic()
            return shown.view

    async def _view(self, stored: Stored) -> RolloutView:
        return view_of(stored, await self._known(stored), self._clock())

    async def _known(self, stored: Stored) -> Judgement:
        rollout = stored.rollout
        try:
            return judgement_of(await self._journal.evidence(rollout.id))
        except DataLost as error:
            # Where it stands can be said without; the controller is the one to worry.
            _log.warning("rollout shown without evidence", rollout=rollout.id, reason=error.reason)
            return NOTHING_JUDGED
